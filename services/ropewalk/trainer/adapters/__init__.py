"""One file per outside system: Ray, the kernel, the object store, and the training loop that runs inside a worker."""
