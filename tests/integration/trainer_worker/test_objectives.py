"""A run that is told what another model said: it learns, and a kill changes not a bit of it."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ropewalk.corpus.document import DOCUMENTS, write_records
from ropewalk.corpus.references import ReferenceRows, ReferenceWriter
from ropewalk.storage.manifest import read_manifest
from ropewalk.trainer.adapters.worker.job import WorkerError

NUM_WINDOWS, LENGTH, K = 40, 16, 3


def a_dataset(workshop):
    """Windows of two documents of 8 tokens each, of which the last four answer."""
    folder = workshop.root / "told"
    shutil.copytree(workshop.dataset(masked=True), folder, ignore=shutil.ignore_patterns("manifest.json"))
    mask = np.zeros(NUM_WINDOWS * LENGTH + 1, dtype=np.uint8)
    mask[:-1][np.arange(len(mask) - 1) % 8 >= 4] = 1
    (folder / "mask.bin").write_bytes(mask.tobytes())
    tokens = np.fromfile(folder / "tokens.bin", dtype="<u2")[mask == 1]
    ids = np.stack([(tokens.astype(np.uint32) + shift) % 300 for shift in range(K)], axis=-1)
    logprobs = np.log(np.tile(np.array([0.6, 0.2, 0.1, 0.1], dtype=np.float32), (len(ids), 1)))
    with ReferenceWriter(folder) as writer:
        writer.append(ReferenceRows(ids, logprobs))
    common = {"doc_id": "d", "path": "p", "source_id": "s", "licence": "l", "length": 8}
    write_records(folder / DOCUMENTS, ({**common, "start": start} for start in range(0, NUM_WINDOWS * LENGTH, 8)))
    workshop.objects.publish(folder, "datasets/told", read_manifest(workshop.dataset(masked=True)).meta)
    return workshop.objects.fetch("datasets/told")


@pytest.mark.parametrize("objective", ["distill", "dpo"])
def test_a_run_that_is_told_another_models_opinion_learns_and_resumes_to_the_bit(workshop, tools, objective) -> None:
    recipe = tools.a_recipe(tools.a_plan(objective=objective, document_masks=True))
    dataset = a_dataset(workshop)
    whole = tools.losses(tools.run_alone(workshop.job("whole", recipe, dataset=dataset)))
    assert whole[11] < whole[0]
    plain = tools.a_recipe(tools.a_plan(document_masks=True))
    other = tools.losses(tools.run_alone(workshop.job("plain", plain, dataset=dataset)))
    assert other[11] != pytest.approx(whole[11], rel=0.01)
    first = load_file(workshop.checkpoint("whole", 12) / "model.safetensors")
    again = workshop.job("whole", recipe, dataset=dataset, resume_from=workshop.checkpoint("whole", 8), epoch=2)
    assert tools.losses(tools.run_alone(again)) == {step: loss for step, loss in whole.items() if step >= 8}
    second = load_file(workshop.checkpoint("whole", 12, epoch=2) / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_is_not_gone_on_with_under_another_objective_nor_begun_where_no_other_model_was_asked(
    workshop, tools
) -> None:
    recipe = tools.a_recipe(tools.a_plan(objective="dpo", document_masks=True))
    with pytest.raises(WorkerError, match="no other model was asked"):
        tools.run_alone(workshop.job("unasked", recipe))
    dataset = a_dataset(workshop)
    tools.run_alone(workshop.job("whole", tools.a_recipe(tools.a_plan(document_masks=True)), dataset=dataset))
    with pytest.raises(WorkerError, match="objective was None"):
        tools.run_alone(
            workshop.job("whole", recipe, dataset=dataset, resume_from=workshop.checkpoint("whole", 8), epoch=2)
        )
