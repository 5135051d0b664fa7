"""The rules of training: when to try again, where the search looks, which trial wins. No I/O, clock or randomness."""
