"""Fetches a model from the Hugging Face hub: the one thing here that asks the network, and only when told to."""

from collections.abc import Callable
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from ropewalk.model.importing.errors import RefusedError
from ropewalk.model.importing.folders import PAPERS, TOKENIZER_FILES, check_size

_BESIDE = ("config.json", "model.safetensors.index.json", *TOKENIZER_FILES, *PAPERS)  # nothing pickled, no code


def download(hub_id: str, folder: Path, say: Callable[[str], None]) -> Path:
    """Weights, tokenizer and papers of `org/name`, at one revision. Raises RefusedError."""
    say("asking the hub")
    try:
        info = HfApi().model_info(hub_id, files_metadata=True, timeout=30)
        sizes = {each.rfilename: each.size or 0 for each in info.siblings or ()}
        weights = {name: size for name, size in sizes.items() if name.endswith(".safetensors") and "/" not in name}
        if not weights:
            raise RefusedError(f"{hub_id} has no safetensors; pickled weights are not loaded, they could run anything")
        check_size(sum(weights.values()))
        say(f"fetching {sum(weights.values()) / 2**20:,.0f} MiB of weights")
        snapshot_download(hub_id, revision=info.sha, local_dir=folder, allow_patterns=[*weights, *_BESIDE])
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise RefusedError(f"the hub does not give {hub_id}: {' '.join(str(error).split())[:300]}") from None
    return folder
