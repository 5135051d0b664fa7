"""The rules of serving: routes, keys, admission and what a client may ask for. No input or output."""
