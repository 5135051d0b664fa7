"""One job that is baked into a model: its answers against a schema and a reference, and what a request costs.

Values only: files of examples are read in `corpus`, what somebody wrote into a task folder in `folder`.
"""
