"""A workshop with a tiny dataset, and training jobs on it under a private Ray."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from ropewalk.corpus.document import EVAL_ITEMS, write_records
from ropewalk.corpus.shards import ShardMeta, TokenWriter
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import Recipe, SourceRecipe
from ropewalk.storage.connect import StoreAddress
from ropewalk.storage.local import LocalObjects
from ropewalk.trainer.adapters.reports import ClusterSpec, SearchJob, TrainingJob

NUM_WINDOWS = 200


@dataclass
class Workshop:
    """A folder with an object store, a dataset version and a tokenizer."""

    root: Path
    ray_folder: Path

    @property
    def objects(self) -> LocalObjects:
        return LocalObjects(self.root / "objects")

    @property
    def recipe(self) -> Recipe:
        recipe = complete(Recipe(sources=(SourceRecipe(path="/nowhere", licence="CC0-1.0"),), size="tiny", minutes=0.5))
        plan = recipe.derived.model_copy(update={"trial_steps": 20})
        return recipe.model_copy(update={"plan": plan, "trials": 4})

    @property
    def meta(self) -> ShardMeta:
        length = self.recipe.derived.context_length
        return ShardMeta(
            dataset_version="d" * 64,
            tokenizer_uri="tokenizers/t",
            context_length=length,
            num_tokens=NUM_WINDOWS * length + 1,
            num_windows=NUM_WINDOWS,
            dtype="<u2",
            has_mask=False,
            eos_id=0,
        )

    def stock(self) -> None:
        """Publish the dataset: a noisy counting language, in which the next token is mostly the last plus three."""
        vocab_size = self.recipe.derived.vocab_size
        random = np.random.default_rng(3)
        steps = np.where(random.random(self.meta.num_tokens) < 0.9, 3, random.integers(vocab_size))
        tokens = np.cumsum(steps) % vocab_size
        folder = self.root / "dataset"
        folder.mkdir()
        with TokenWriter(folder, dtype="<u2", has_mask=False) as writer:
            writer.append(tokens)
        (folder / "unigram.json").write_text(json.dumps({"counts": np.bincount(tokens, minlength=vocab_size).tolist()}))
        self.objects.publish(folder, "datasets/d", self.meta.as_json())
        folder = self.root / "tokenizer"
        folder.mkdir()
        words = Tokenizer(WordLevel({f"w{number}": number for number in range(vocab_size)}, unk_token="w0"))
        words.pre_tokenizer = WhitespaceSplit()
        words.save(str(folder / "tokenizer.json"))
        self.objects.publish(folder, "tokenizers/t", {})
        folder = self.root / "evalset"
        folder.mkdir()
        text = " ".join(f"w{3 * place % vocab_size}" for place in range(300))
        write_records(folder / EVAL_ITEMS, [{"item_id": "0", "text": text}])
        self.objects.publish(folder, "evalsets/e", {})
        (self.root / "scratch").mkdir()

    def training(self, *, epoch: int = 1, first_attempt: int = 1) -> TrainingJob:
        plan = self.recipe.derived
        return TrainingJob(
            run_id="r",
            epoch=epoch,
            first_attempt=first_attempt,
            announced=frozenset(),
            gone=frozenset(),
            recipe=self.recipe,
            dataset_uri="datasets/d",
            dataset_version="d" * 64,
            tokenizer_uri="tokenizers/t",
            evalset_uri="evalsets/e",
            store=StoreAddress(url=self.objects.root.as_uri()),
            scratch=self.root / "scratch",
            matrix_lr=plan.matrix_lr,
            adam_lr=plan.adam_lr,
            stop_file=self.root / "stop",
            stall_s=60,
            cluster=self.cluster,
        )

    def search(self) -> SearchJob:
        return SearchJob(
            run_id="r",
            epoch=1,
            recipe=self.recipe,
            dataset_uri="datasets/d",
            dataset_version="d" * 64,
            tokenizer_uri="tokenizers/t",
            store=StoreAddress(url=self.objects.root.as_uri()),
            scratch=self.root / "scratch",
            parallel=2,
            cluster=self.cluster,
        )

    @property
    def cluster(self) -> ClusterSpec:
        return ClusterSpec(address="", num_cpus=2, temporary=self.ray_folder)


@pytest.fixture
def workshop(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Ray's folder is apart, because the paths of its sockets must be short."""
    made = Workshop(tmp_path, Path("/tmp/rw-test-ray"))
    made.stock()
    return made


@pytest.fixture
def ray_processes() -> Callable[[Path], list[int]]:
    """The processes whose command line names a folder."""

    def find(folder: Path) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if str(folder) in command:
                    found.append(int(entry.name))
        return found

    return find
