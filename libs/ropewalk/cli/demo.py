"""`demo`: the whole chain in one command."""
