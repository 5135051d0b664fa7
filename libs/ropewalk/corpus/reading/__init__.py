"""From the files of a source to records: which files, what kind, bytes within bounds, and the reason where it is none.

`records` and `selection` are pure; `files` touches the disk, `contents` joins them, `survey` looks without keeping.
"""
