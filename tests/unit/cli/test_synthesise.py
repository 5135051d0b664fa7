"""`data synthesise` writes a file of its own, which `data check` and `bake` count apart from what people wrote."""

import json
import os
import random
from pathlib import Path

import pytest
from parts.writing_endpoint import a_writing_endpoint

from ropewalk.recipes.builtin import resolve_recipe
from ropewalk.usecases.folder import MADE, RECORDS, SCHEMA, TASK, read_task_folder, write_task_folder

ANSWER = '{"topic":"order","urgent":true}'


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "my-task"
    write_task_folder(folder, "my-task")
    text = (folder / TASK).read_text().replace('base_model: ""', "base_model: org/model")
    (folder / TASK).write_text(text.replace("examples:\n", "examples:\n  key_field: customer\n"))
    records = [{"input": f"Where is parcel {n}?", "output": json.loads(ANSWER), "customer": n} for n in range(100)]
    (folder / RECORDS).write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def say(asked):
    if len(asked["messages"]) > 1:
        return ANSWER
    return " ".join("".join(random.choices("abcdefghij", k=5)) for _ in range(3))


def test_variants_come_into_a_file_of_their_own_and_are_counted_apart(ropewalk, task):
    before = (task / RECORDS).read_bytes()
    with a_writing_endpoint(say) as endpoint:
        key = task / "key"
        key.write_text("k\n")
        wanted = ("--from", endpoint.url, "--model", "big", "--key-file", str(key))
        code, out, error = ropewalk("data", "synthesise", str(task), "--n", "3", *wanted, "--json")
    assert code == 0, out + error
    assert json.loads(out)["num_there"] == 3
    assert (task / RECORDS).read_bytes() == before
    source = resolve_recipe(read_task_folder(task)).sources[1]
    assert (Path(source.path).name, source.format, source.key_field) == (MADE, "examples", "")

    code, out, _ = ropewalk("data", "check", str(task), "--json")
    assert (json.loads(out)["num_examples"], json.loads(out)["num_synthetic"]) == (103, 3)
    with (task / MADE).open("a") as file:
        file.write(json.dumps({"input": "Where is parcel 7?", "output": {"topic": "other", "urgent": False}}) + "\n")
    found = json.loads(ropewalk("data", "check", str(task), "--json")[1])["findings"]
    assert [each["places"] for each in found if each["kind"].startswith("the same input")] == [[f"{MADE}#4 (as 8)"]]


def test_the_dry_run_says_how_many_a_model_wrote_and_judges_by_none_of_them(ropewalk, task):
    records = [{"input": f"Tell {n}", "output": json.loads(ANSWER), "synthetic": {"from": "0" * 64}} for n in range(50)]
    (task / MADE).write_text("".join(json.dumps(record) + "\n" for record in records))
    code, out, error = ropewalk("bake", str(task), "--dry-run")
    assert code == 0, out + error
    assert "100: about 75 to learn from, 20 to judge by, 5 to watch the training by" in out
    assert "50 beside them that a model wrote" in out


def test_what_cannot_write_is_named_before_anything_is_sent(ropewalk, task):
    wish = ("data", "synthesise", str(task), "--n", "3")
    assert "neither imported nor a folder here" in ropewalk(*wish)[2]
    assert "--model is missing" in ropewalk(*wish, "--from", "https://example.org/v1")[2]
    with a_writing_endpoint() as endpoint:
        endpoint.status = 401
        code, out, error = ropewalk(*wish, "--from", endpoint.url, "--model", "big")
    assert (code, "the endpoint refuses to answer, with status 401" in out) == (1, True), out + error
    wish = (*wish, "--model", "big")
    for options, sentence in (
        (("--from", "http://[::1"), "--from: the endpoint has the address 'http://[::1': give a base URL"),
        (("--from", "https://example.org/v1", "--key-file", str(task)), "--key-file: "),
    ):
        code, _, error = ropewalk(*wish, *options)
        assert (code, error.startswith(f"ropewalk: {sentence}")) == (2, True), error
    (task / MADE).unlink()
    os.mkfifo(task / MADE)
    code, _, error = ropewalk(*wish, "--from", "https://example.org/v1")
    assert (code, "synthetic.jsonl in the task's folder is no regular file" in error) == (2, True), error
    (task / SCHEMA).unlink()
    code, _, error = ropewalk(*wish, "--from", "https://example.org/v1")
    assert (code, "without a schema.json" in error) == (2, True)
