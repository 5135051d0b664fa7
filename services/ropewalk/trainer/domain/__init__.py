"""The rules of training: when to try again, stop, save or give up; what hangs; which trial goes on. No I/O, clock or randomness."""
