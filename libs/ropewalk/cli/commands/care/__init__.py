"""Commands of whoever looks after a machine or a stack."""
