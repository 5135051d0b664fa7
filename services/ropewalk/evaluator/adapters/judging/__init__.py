"""Judges are asked in a child process, from a background task of the evaluator."""
