"""The training loop that runs inside every worker: torch and our own libraries, no broker and no cluster manager.

`job` holds what goes in and out, `loop.run_worker` is the entry. Importing this package or `job` is cheap; `loop`
imports torch.
"""
