"""The rules of ingest: where a segment ends, and what its identity is. No I/O."""
