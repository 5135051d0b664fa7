"""The monitor's edges: the column store, the sinks that fill it, the watcher that reads it, the HTTP interface."""
