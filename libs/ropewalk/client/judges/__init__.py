"""Judges of a stack, for a client."""
