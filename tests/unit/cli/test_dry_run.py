"""What `submit --dry-run` says of a recipe and its data, without a stack."""

import json
import re
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ropewalk.cli.exit_codes import USAGE


def test_dry_run_shows_the_recipe_and_the_derived_plan_without_a_stack(ropewalk):
    code, output, _ = ropewalk("submit", "python-stdlib", "--dry-run", "--json")
    _, table, _ = ropewalk("submit", "python-stdlib", "--dry-run")

    recipe = json.loads(output)["recipe"]
    assert code == 0
    assert recipe["plan"]["total_steps"] > 100
    assert re.search(rf"total_steps\s+{recipe['plan']['total_steps']:,}", table)
    for field, given, derived in (("device", "auto", "cpu"), ("precision", "auto", "fp32")):
        assert re.findall(rf"{field} +(\w+)", table) == [given, derived]


def test_dry_run_looks_at_the_data_and_says_what_the_run_will_take(ropewalk, tmp_path):
    texts = tmp_path / "texts"
    texts.mkdir()
    for number in range(40):
        (texts / f"{number}.md").write_text(f"document {number} has some prose\n" * 100)
    (texts / "data.bin").write_bytes(b"\0\1" * 100)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"sources: [{{path: {texts}, licence: MIT}}]\n")
    code, output, _ = ropewalk("submit", str(recipe), "--dry-run", "--json")
    _, table, _ = ropewalk("submit", str(recipe), "--dry-run")
    found = json.loads(output)
    assert code == 0
    assert (found["data"]["num_files"], found["data"]["num_documents"]) == (41, 40)
    expected = found["forecast"]
    assert expected["tokens_read"] == found["recipe"]["plan"]["total_steps"] * 4 * 256
    assert expected["epochs"] == pytest.approx(expected["tokens_read"] / expected["num_tokens"])
    assert expected["minutes"] > 3
    for words in ("40 documents", "will be set aside", "data.bin", "price", "epochs"):
        assert words in table


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{path: nowhere, licence: MIT}", "there is no such file or folder"),
        ("{path: /etc, licence: MIT, include: hostname}\nnum_workers: 999", "field 'num_workers' has the value 999"),
        ("{path: ., licence: MIT, include: ['*.none']}", "no document is left of 0 files"),
        ("/etc/hostname", "field 'sources.0.licence' is missing"),
        ("{path: /etc, licence: MIT, include: hostname}\ndevice: cuda", "training needs 2 CPUs and 2 GPUs, and the"),
    ],
)
def test_dry_run_of_what_cannot_be_accepted_says_why_and_exits_with_two(ropewalk, tmp_path, content, sentence):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"sources: {content}\n")
    code, _, error = ropewalk("submit", str(recipe), "--dry-run")
    assert code == USAGE
    assert sentence in " ".join(error.split())


LOOKS = """
import sys
from ropewalk.cli.tree import app

for arguments in (["init", "data", "--out", "mine.yaml"], ["submit", "mine.yaml", "--dry-run"]):
    try:
        app(arguments)
    except SystemExit as done:
        print("status", done.code)
print("pyarrow loaded:", "pyarrow" in sys.modules)
"""


def test_data_is_looked_at_in_a_child_whose_end_is_not_that_of_the_command(tmp_path):
    (tmp_path / "data").mkdir()
    table = pa.table({"text": [f"a text about the number {number}" for number in range(200)]})
    pq.write_table(table, tmp_path / "data" / "a.parquet")
    done = subprocess.run([sys.executable, "-c", LOOKS], cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert re.findall(r"200 documents|status \d|loaded: \w+", done.stdout) == [
        "200 documents",
        "status 0",
        "200 documents",
        "status 0",
        "loaded: False",
    ], done.stderr


def test_dry_run_without_data_tells_no_time_and_no_price(ropewalk, tmp_path):
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("sources: {path: ., licence: MIT, include: ['*.none']}\n")
    _, table, error = ropewalk("submit", str(recipe), "--dry-run")
    assert "this run, about" not in table
    assert (table + error).count("no document is left") == 1


def test_dry_run_takes_the_minutes(ropewalk):
    _, short, _ = ropewalk("submit", "python-stdlib", "--dry-run", "--json", "--minutes", "1")
    _, long, _ = ropewalk("submit", "python-stdlib", "--dry-run", "--json", "--minutes", "10")

    steps = [json.loads(output)["recipe"]["plan"]["total_steps"] for output in (short, long)]
    assert steps[1] == pytest.approx(10 * steps[0], rel=0.01)
