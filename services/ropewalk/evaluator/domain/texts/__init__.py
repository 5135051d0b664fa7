"""Overlap of words with reference texts: shown, never decided by, and only beside what it is worth on this task set."""
