"""A run whose attention stays within documents: the loss is that of documents alone, and it resumes to the bit."""

import shutil

import pytest
import torch
from safetensors.torch import load_file

from ropewalk.corpus.document import DOCUMENTS, write_records
from ropewalk.storage.manifest import read_manifest


def a_job(workshop, tools, run_id: str, *, document_masks: bool, **changes: object):
    if not workshop.objects.exists("datasets/many"):
        folder = workshop.root / "many"
        shutil.copytree(workshop.dataset(), folder, ignore=shutil.ignore_patterns("manifest.json"))
        common = {"doc_id": "d", "path": "p", "source_id": "s", "licence": "l", "length": 5}
        write_records(folder / DOCUMENTS, ({**common, "start": start} for start in range(0, 641, 5)))
        workshop.objects.publish(folder, "datasets/many", read_manifest(workshop.dataset()).meta)
    recipe = tools.a_recipe(tools.a_plan(document_masks=document_masks))
    return workshop.job(run_id, recipe, dataset=workshop.objects.fetch("datasets/many"), **changes)


def test_a_run_with_document_masks_learns_resumes_to_the_bit_and_is_the_same_on_two_ranks(
    workshop, tools, tmp_path
) -> None:
    whole = tools.losses(tools.run_alone(a_job(workshop, tools, "whole", document_masks=True)))
    plain = tools.losses(tools.run_alone(a_job(workshop, tools, "plain", document_masks=False)))
    assert whole[0] == pytest.approx(plain[0], rel=1e-3)  # fresh blocks do nothing
    assert whole[11] != plain[11]
    assert whole[11] < whole[0]
    first = load_file(workshop.checkpoint("whole", 12) / "model.safetensors")
    again = a_job(workshop, tools, "whole", document_masks=True, resume_from=workshop.checkpoint("whole", 8), epoch=2)
    assert tools.losses(tools.run_alone(again)) == {step: loss for step, loss in whole.items() if step >= 8}
    second = load_file(workshop.checkpoint("whole", 12, epoch=2) / "model.safetensors")
    assert all(torch.equal(first[name], second[name]) for name in first)
    job = a_job(workshop, tools, f"ranks{tools.in_parts}", document_masks=True)
    (reports,) = tools.run_on_ranks([job], 2, tmp_path / "ranks")
    assert tools.losses(reports) == pytest.approx(whole, rel=1e-4)
