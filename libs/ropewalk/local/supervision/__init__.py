"""The supervisor: what each process is told, when it counts as ready, and how it is kept alive."""
