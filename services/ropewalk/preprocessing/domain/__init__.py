"""The rules of preprocessing: what is kept and why. Arrays in, decisions out; no files, no Ray."""
