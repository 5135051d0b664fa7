"""Ingest's way to the file system and the object store."""
