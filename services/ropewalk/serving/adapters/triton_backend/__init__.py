"""The Python-based Triton backend `ropewalk`. Triton imports `model.py` by path, never this package."""
