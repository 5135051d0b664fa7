"""Where things lie in the object store."""


def quarantine_key(checkpoint_id: str) -> str:
    """The folder of a checkpoint that did not verify."""
    return f"quarantine/checkpoints/{checkpoint_id}"


def export_quarantine_key(checkpoint_id: str) -> str:
    """The folder of an export that is damaged."""
    return f"quarantine/exports/{checkpoint_id}"


def ledger_key(run_id: str, checkpoint_id: str) -> str:
    """The sealed folder with a copy of a checkpoint's `ledger.jsonl`.

    It is written when the checkpoint is committed and survives pruning, so the proof that no sample was skipped or
    repeated needs no checkpoint. Readers look here first and then into the checkpoint itself.
    """
    return f"runs/{run_id}/ledger/{checkpoint_id}"


def export_key(checkpoint_id: str) -> str:
    """The Hugging Face folder of a checkpoint."""
    return f"exports/{checkpoint_id}"
