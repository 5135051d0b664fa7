"""One file per outside system: held-out documents and training tokens, models, and the process that uses both."""
