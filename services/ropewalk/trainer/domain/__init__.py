"""The rules of training: when to save, try again or give up; who hangs; which trial goes on. No I/O, clock, chance."""
