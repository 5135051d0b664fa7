"""What `ropewalk doctor` looks at: a machine before a stack is started, and a stack, wherever it runs."""
