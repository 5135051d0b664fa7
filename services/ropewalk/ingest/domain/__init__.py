"""The rules of ingest: what is a document, what is not, and where a segment ends. No I/O."""
