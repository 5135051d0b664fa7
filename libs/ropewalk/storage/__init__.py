"""Bulk data: files behind one Protocol, and folders that are complete only when their manifest verifies."""
