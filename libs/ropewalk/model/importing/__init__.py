"""Models that others made: looked at, read through transformers, compared with it, and written for others again.

Import the modules directly. `source` and `folders` know no torch; the rest runs in a child process.
"""
