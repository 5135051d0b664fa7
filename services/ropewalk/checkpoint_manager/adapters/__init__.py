"""One file per outside system: sealed checkpoints, held-out texts, the model on its own, Triton, OpenAI endpoint."""
