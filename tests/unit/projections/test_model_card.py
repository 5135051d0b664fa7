from pathlib import Path

import pytest
import yaml

from ropewalk.client.errors import ClientError
from ropewalk.client.exporting import export_to, of_version
from ropewalk.client.models import ModelVersion
from ropewalk.events.base import Message
from ropewalk.events.checkpoint import ApprovalDecided, ParityCertified
from ropewalk.events.data import DatasetPublished, SourceRegistered
from ropewalk.events.evaluation import Estimate, EvaluationCompleted
from ropewalk.events.run import RunAccepted
from ropewalk.events.training import StepsCommitted
from ropewalk.projections.model_card import model_card
from ropewalk.storage.local import LocalObjects
from ropewalk.storage.manifest import verify

RECIPE = {"name": "notes", "seed": 17, "sources": [{"path": "/home/secret"}], "base_model": "/home/base"}


def a_part(first: int, last: int, epoch: int = 1) -> StepsCommitted:
    return StepsCommitted(
        run_id="r",
        epoch=epoch,
        first_step=first,
        last_step=last,
        num_samples=8 * (last - first + 1),
        sha256=f"{epoch}-{last}",
        uri="u",
        checkpoint_id=f"r-{epoch}-{last}",
    )


def what_happened() -> list[Message]:
    source = SourceRegistered(run_id="r", source_id="s|1", path="/home/secret", licence="PSF-2.0", num_files=3)
    dataset = DatasetPublished(
        run_id="r",
        dataset_version="v7",
        uri="u",
        tokenizer_uri="u",
        evalset_uri="u",
        num_inputs=9,
        num_kept=6,
        num_held_out=2,
        dropped={},
        num_tokens=1234,
        num_windows=1,
        context_length=64,
    )
    metric = Estimate(metric="bits_per_byte", value=1.5, lower=1.4, upper=1.6, level=0.95, num_items=30, method="m")
    parity = ParityCertified(
        run_id="r",
        model="notes",
        model_version=1,
        checkpoint_id="c",
        paths=("trainer", "export"),
        num_prompts=16,
        num_tokens=16,
        passed=True,
        differences=(),
        dtype="F32",
        logprob_bound=1e-4,
        logprob_shifts={"export": 2e-6},
    )
    approval = ApprovalDecided(
        run_id="r",
        model="notes",
        model_version=1,
        approver="bob",
        approved=True,
        reason="",
        manifest_sha256="0",
        evaluation_sha256="1",
        public_key="UB",
        signature="s",
    )
    return [
        RunAccepted(run_id="r", recipe=RECIPE, recipe_sha256="abc"),
        source,
        dataset,
        a_part(0, 9),
        a_part(10, 14),
        a_part(10, 19, epoch=2),
        EvaluationCompleted(run_id="r", checkpoint_id="c", uri="u", estimates=(metric,), num_held_out=5),
        parity,
        approval,
    ]


def test_a_card_says_what_a_model_is_made_of_and_how_it_did_and_no_path() -> None:
    card = model_card("r", what_happened())
    header = yaml.safe_load(card.split("---")[1])
    assert (header["license"], header["license_name"]) == ("other", "PSF-2.0")
    assert "| s\\|1 | PSF-2.0 | 3 |" in card
    assert "Dataset version `v7`: 6 of 9 documents, 1,234 tokens; 2 documents were held out." in card
    assert "20 steps, 160 samples, in 2 parts" in card
    assert "| bits\\_per\\_byte | 1.500 | 1.400 to 1.600 | 95% | 30 |" in card
    assert "trainer, export agree on 16 prompts" in card
    assert "export 2e-06 (bound 0.0001, F32)" in card
    assert "Approved by bob (`UB`)" in card
    assert "SHA-256 `abc`" in card
    assert "/home" not in card


def test_a_copy_of_an_export_is_sealed_again_and_writes_over_nothing(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "model.safetensors").write_bytes(b"weights")
    sealed = objects.publish(tmp_path / "new", "exports/c", {"num_parameters": 7})
    version = ModelVersion(
        model="notes", version=1, run_id="r", checkpoint_id="c", export_uri="exports/c", answers=True, names=()
    )
    what = of_version(version, what_happened())
    assert export_to(tmp_path / "out", what, objects) == sealed.sha256
    copy = verify(tmp_path / "out")
    assert copy.meta == {"num_parameters": 7, "copy_of_manifest_sha256": sealed.sha256}
    assert "Approved by bob" in (tmp_path / "out" / "README.md").read_text()
    with pytest.raises(ClientError, match="exists: name one that does not"):
        export_to(tmp_path / "out", what, objects)
    (objects.fetch("exports/c") / "model.safetensors").write_bytes(b"welghts")
    with pytest.raises(ClientError, match=r"the export of notes@1 is damaged: model\.safetensors"):
        export_to(tmp_path / "other", what, objects)
