"""The report card of a run: `collect` computes it from the event log, `html`, `picture` and `terminal` show it.

No number on the card comes from anywhere else; a missing one says what is missing.
"""
