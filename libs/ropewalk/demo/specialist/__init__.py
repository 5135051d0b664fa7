"""A job for a specialist: the source of a Python function in, a strict JSON record out.

`functions` makes the examples from the standard library, `task` the folder that a user would have, and its recipe.
"""
