"""The metrics of a run in the files of other tools, each written by that tool's own library."""
