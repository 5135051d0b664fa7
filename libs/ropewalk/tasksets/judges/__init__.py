"""Judges as data: rubrics, who is asked, labelled answers, the prompt, and their place in the store."""
