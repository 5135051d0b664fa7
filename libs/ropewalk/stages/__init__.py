"""Long work: its lease and epoch, its place in the pool, its policy, its timers, its child process."""
