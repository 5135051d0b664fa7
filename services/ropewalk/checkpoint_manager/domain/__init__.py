"""The rules of the checkpoint-manager: where things lie, which checkpoints stay, when two paths agree."""
