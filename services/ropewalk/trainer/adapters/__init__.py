"""One file per outside system: Ray, Optuna, and the training loop that runs inside a worker."""
