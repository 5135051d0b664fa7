"""Preprocessing's way to Ray, the tokenizer libraries and the object store."""
