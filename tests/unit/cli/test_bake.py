"""`bake --dry-run` says before a run what it would refuse, and what baking takes and saves; `--out` writes a recipe."""

import json
from pathlib import Path

import pytest
from parts.small_engines import a_llama, an_export

from ropewalk.corpus.preflight import disk_violations
from ropewalk.recipes.bases import Base
from ropewalk.recipes.builtin import load_recipe, resolve_recipe
from ropewalk.recipes.disk import disk_needs
from ropewalk.storage.local import LocalObjects
from ropewalk.usecases.folder import RECORDS, SCHEMA, TASK, UNANSWERED, write_task_folder

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "my-task"
    write_task_folder(folder, "my-task")
    _set_base(folder, "org/model")
    example = (folder / RECORDS).read_text().splitlines()[0]
    records = [{**json.loads(example), "input": f"Where is parcel {number}?"} for number in range(100)]
    (folder / RECORDS).write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def _set_base(folder: Path, base: str) -> None:
    _set(folder, 'base_model: ""', f"base_model: {base}")


def _set(folder: Path, before: str, after: str) -> None:
    (folder / TASK).write_text((folder / TASK).read_text().replace(before, after))


def test_the_dry_run_counts_tokens_and_prices_with_the_base_models_own_template(ropewalk, tmp_path, task):
    base = an_export(tmp_path / "base", a_llama())
    (base / "chat_template.jinja").write_text(TEMPLATE)
    (task / TASK).write_text((task / TASK).read_text().replace("org/model", str(base)))
    code, out, error = ropewalk("bake", str(task), "--dry-run", "--json")
    assert code == 0, out + error
    told = json.loads(out)
    assert told["num_held_out"] == 20
    assert told["judging_s"] > 20
    assert (told["requests"]["num_cut"], told["requests"]["window"]) == (0, 128)
    assert told["requests"]["now"] > 5 * told["requests"]["after"] > 0
    ways = {way["from"]: way for way in told["usd_per_1000_requests"]}
    assert ways["the base model here, long prompt"]["now"] > ways["the base model here, long prompt"]["after"]
    assert ways["a large model, paid by the token"]["training"] == told["training"]["usd"]["value"]
    assert told["curve"] == []
    smaller = json.loads(ropewalk("bake", str(task), "--dry-run", "--json", "--curve")[1])["curve"]
    assert [round(told["training"]["tokens"] / each["tokens"]) for each in smaller] == [4, 2]
    assert "more: two smaller runs after it" in ropewalk("bake", str(task), "--dry-run", "--curve")[1]


def test_the_dry_run_counts_for_an_imported_model_as_for_a_folder_and_refuses_a_name_of_none(ropewalk, tmp_path, task):
    base = an_export(tmp_path / "base", a_llama())
    (base / "chat_template.jinja").write_text(TEMPLATE)
    (task / TASK).write_text((task / TASK).read_text().replace("org/model", "mini"))
    assert "no imported model of that name" in ropewalk("bake", str(task), "--dry-run")[2]
    told = {"source": "hf:base", "licence": "mit", "family": "llama", "imported_at": "2026-11-27T01:00:00+00:00"}
    size = {"num_parameters": 1, "context_length": 128, "has_template": True}
    known = Base(content="1" * 64, name="mini", certificate={}, **told, **size)
    LocalObjects(tmp_path / "state" / "objects").publish(base, known.key, known.model_dump(exclude={"content"}))
    code, out, error = ropewalk("bake", str(task), "--dry-run", "--json")
    assert code == 0, out + error
    assert json.loads(out)["requests"]["now"] > 100
    out = ropewalk("bake", str(task), "--dry-run", columns=80)[1]
    assert "judging it" in out
    assert "checkpoints of" in out
    assert sum("paid by the token" in line for line in out.splitlines()) == 4  # a line a way, and what is assumed
    assert max(len(line.rstrip()) for line in out.splitlines() if not line.startswith("  ")) <= 80


def test_windows_hold_the_examples_unless_the_task_says_their_length_and_too_short_ones_are_refused(
    ropewalk, tmp_path, task
):
    base = an_export(tmp_path / "base", a_llama())
    (base / "chat_template.jinja").write_text(TEMPLATE)
    _set(task, "org/model", str(base))
    assert ropewalk("bake", str(task), "--out", str(tmp_path / "derived.yaml"))[0] == 0
    assert load_recipe(str(tmp_path / "derived.yaml"))["training"]["context_length"] == 128  # all that the base reads
    _set(task, "training: {", "training: {context_length: 16, ")
    code, _, error = ropewalk("bake", str(task), "--dry-run")
    assert code == 2
    assert "'training.context_length' has the value 16: 100 of 100 examples are longer" in error
    assert "a window of 128 tokens holds 99 % of them" in error


def test_a_run_whose_checkpoints_find_no_room_is_refused_with_the_bytes(tmp_path):
    recipe = resolve_recipe({"base": "python-stdlib-tiny"})
    needs = disk_needs(recipe)
    assert disk_violations(recipe, None) == disk_violations(recipe, needs.total_bytes) == ()
    (sentence,) = disk_violations(recipe, needs.total_bytes - 1)
    assert "the disk of the objects has" in sentence
    assert "training.keep_checkpoints" in sentence
    tuned = {"mode": "finetune", "adapter": "lora", "base_model": "/folder"}
    whole = disk_needs(resolve_recipe({"base": "python-stdlib-tiny", **tuned}))
    small = disk_needs(resolve_recipe({"base": "python-stdlib-tiny", **tuned, "base_model": "imported"}))
    assert whole.checkpoint_bytes - small.checkpoint_bytes == whole.export_bytes == small.export_bytes


def test_the_dry_run_refuses_what_would_teach_nothing(ropewalk, task):
    assert ropewalk("bake", str(task), "--dry-run")[0] == 0
    (task / RECORDS).write_text('{"input": "a", "output": "b"}\n' * 20)
    code, _, error = ropewalk("bake", str(task), "--dry-run")
    assert code == 2
    assert "field 'task.json_schema': none of 20 examples fits it" in error


def test_the_dry_run_tells_what_is_learnt_beside_the_examples_and_nothing_of_examples_that_it_did_not_read(
    ropewalk, tmp_path, task
):
    (task / UNANSWERED).write_text('{"input": "a"}\n{"input": "b"}\n')
    _set(task, "training: {", "training: {objective: distill, ")
    told = " ".join(ropewalk("bake", str(task), "--dry-run")[1].split())
    assert "100: about 75 to learn from, 20 to judge by, 5 to watch the training by" in told
    assert "2: the base model is asked 4 times for each first, whose time is not estimated" in told
    assert "distill: the base model with the instruction teaches, whose time is not estimated" in told
    assert "give one of them" in ropewalk("bake", str(task), "--dry-run", "--out", str(tmp_path / "a.yaml"))[2]
    (task / SCHEMA).write_text('{"not": {}}')
    told = ropewalk("bake", str(task), "--dry-run")[1]
    assert ("not looked at" in told, "to learn from" in told) == (True, False)


def test_a_task_may_be_called_like_a_number_and_its_examples_are_those_beside_it(ropewalk, tmp_path):
    assert ropewalk("init", "usecase", str(tmp_path / "123"))[0] == 0
    _set_base(tmp_path / "123", "org/model")
    recipe = tmp_path / "123.yaml"
    assert ropewalk("bake", str(tmp_path / "123"), "--out", str(recipe))[0] == 0
    assert load_recipe(str(recipe))["name"] == "123"
    text = (tmp_path / "123" / TASK).read_text()
    (tmp_path / "123" / TASK).write_text(text.replace("  licence:", "  path: /etc/passwd\n  licence:"))
    code, _, error = ropewalk("bake", str(tmp_path / "123"), "--dry-run")
    assert (code, "field 'examples.path' is not read" in error) == (2, True), error
    assert "the task has no name" in ropewalk("init", "usecase")[2]


def test_the_recipe_is_written_once_and_can_be_submitted_as_it_is(ropewalk, tmp_path, task):
    file = tmp_path / "recipe.yaml"
    assert ropewalk("bake", str(task), "--out", str(file))[0] == 0
    recipe = resolve_recipe(load_recipe(str(file)))
    assert not recipe.evaluation.curve
    assert ropewalk("bake", str(task), "--curve", "--out", str(tmp_path / "curve.yaml"))[0] == 0
    assert resolve_recipe(load_recipe(str(tmp_path / "curve.yaml"))).evaluation.curve
    assert (recipe.name, recipe.mode, recipe.sources[0].path) == ("my-task", "finetune", str(task / RECORDS))
    assert "exists already" in ropewalk("bake", str(task), "--out", str(file))[2]


def test_data_check_reads_a_tasks_folder_with_its_schema_and_ends_with_one_for_what_it_finds(ropewalk, tmp_path):
    write_task_folder(tmp_path / "my-task", "my-task")
    code, out, _ = ropewalk("data", "check", str(tmp_path / "my-task"))
    assert code == 1
    assert "schema.json beside them" in out
    assert "too few examples: 10 are the least" in out
    (tmp_path / "my-task" / UNANSWERED).write_text('{"input": "write to ann@example.org"}\n')
    assert "inputs.jsonl#1" in ropewalk("data", "check", str(tmp_path / "my-task"))[1]
    with (tmp_path / "my-task" / RECORDS).open("a") as file:
        file.write('{"input": "a", "output": {"topic": "cats"}}\n')
    code, out, _ = ropewalk("data", "check", str(tmp_path / "my-task" / RECORDS))
    assert code == 1
    assert "the answer does not fit the schema" in out
    assert "3 (field 'urgent' is missing)" in out
