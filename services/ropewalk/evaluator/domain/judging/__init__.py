"""Judges: a grade from a model's own probabilities, what biases a judge has, and when it loses the right to judge."""
