"""From a checkpoint to a Hugging Face folder. Runs in a child process, because it needs torch."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ropewalk.stages.errors import StageError
from ropewalk.storage.manifest import MANIFEST

if TYPE_CHECKING:
    from transformers import PreTrainedModel  # the service process itself must not load it

CONFIG = "config.json"
CARD = "README.md"
ADAPTER = "adapter"


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """Fetched folders and the text of the model card in, a new folder out. `base`: of an adapter on an import."""

    checkpoint: Path
    base: Path | None = None
    tokenizer: Path
    out: Path
    card: str = ""


def build_export(job: ExportJob, report: Callable[[object], None]) -> int:
    """Write config, weights, generation config and tokenizer; read all of it back. Returns the number of parameters.

    Raises StageError.
    """
    from transformers import AutoModelForCausalLM, GenerationConfig
    from transformers.utils.logging import disable_progress_bar

    from ropewalk.model.architecture import num_parameters
    from ropewalk.model.tokenizer import load_tokenizer
    from ropewalk.model.weights import not_finite

    disable_progress_bar()  # this process writes into a log
    model = load_strictly(job.checkpoint, job.base)
    if name := not_finite(model.state_dict()):
        raise StageError(f"the checkpoint was not exported: its weights {name} are not finite; submit the run again")
    eos_id = load_tokenizer(job.tokenizer).eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=eos_id, pad_token_id=eos_id, do_sample=False)
    model.config.eos_token_id = eos_id
    model.config.use_cache = True  # training had no use for it
    model.save_pretrained(job.out)
    for path in job.tokenizer.iterdir():
        if path.is_file() and path.name != MANIFEST:
            shutil.copyfile(path, job.out / path.name)
    if (job.checkpoint / ADAPTER).is_dir():  # the weights hold it, too: who has the base can share that
        shutil.copytree(job.checkpoint / ADAPTER, job.out / ADAPTER)
    (job.out / CARD).write_text(job.card)
    _, info = AutoModelForCausalLM.from_pretrained(job.out, output_loading_info=True)
    problems = {name: found for name, found in info.items() if found}
    if problems:
        raise StageError(f"the export does not load as it was written: {problems}")
    return num_parameters(model)


def load_strictly(checkpoint: Path, base: Path | None = None) -> "PreTrainedModel":
    """The model of a checkpoint, every weight present and none left over. Raises StageError.

    `base` is that of an adapter whose checkpoint has no weights of the whole.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    from ropewalk.model.lora import checkpoint_weights

    config = AutoConfig.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_config(config)
    try:
        missing, unexpected = model.load_state_dict(checkpoint_weights(checkpoint, base), strict=False)
    except (RuntimeError, ValueError) as error:  # RuntimeError: torch's only one for weights of another shape
        raise StageError(f"the checkpoint's weights do not fit its {CONFIG}: {' '.join(str(error).split())}") from None
    tied = set(model.all_tied_weights_keys)
    absent = sorted(set(missing) - tied)
    if absent or unexpected:
        raise StageError(
            f"the checkpoint's weights do not fit its {CONFIG}: missing {absent}, left over {sorted(unexpected)}"
        )
    model.tie_weights()
    return model.float().eval()
