"""nats-server of the embedded stack: its configuration, its users' keys, what it says about itself, and it alone."""
