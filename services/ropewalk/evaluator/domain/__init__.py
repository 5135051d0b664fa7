"""The rules of the evaluator: what is measured on which excerpts, how sure a number is, what the gate says."""
