"""The small instruct model that installs as a package as a judge, on answers whose grades follow from their making.

    python benchmarks/evaluation/small_judge.py --model FOLDER > benchmarks/results/evaluation_small_judge.json

No person graded anything. The question shows a function of the standard library and asks for the first line of its
docstring, which `ast` knows. Answers are made from it: the line itself is a 3, the line with one word of another in it
a 2, its first half with the second half of another a 1, another function's line a 0; a quarter of each. One "rater"
gave these grades by construction, so there is no Alt-Test and no agreement of people. Modules are the clusters. The
judge is asked as the evaluator asks it, controls included, by a rubric with an example for every grade. Prints JSON.
"""

import argparse
import ast
import hashlib
import json
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

from machine import describe

from ropewalk.evaluator.adapters.judging.examining import HearingOrder, examine
from ropewalk.storage.local import LocalObjects
from ropewalk.tasksets.judges.shelf import key_of, read_judge, store_judge

_LONGEST = 260  # characters of a function
_MODULES = [
    "textwrap", "shutil", "statistics", "random", "calendar", "fractions", "bisect", "heapq", "json/decoder",
    "json/encoder", "collections/__init__", "configparser", "csv", "difflib", "fnmatch", "gettext", "glob", "gzip",
    "hmac", "inspect", "ipaddress", "keyword", "linecache", "locale", "mimetypes", "numbers", "os", "pathlib",
    "pickle", "platform", "posixpath", "pprint", "queue", "sched", "shelve", "shlex", "socket", "string", "tarfile",
    "tempfile", "threading", "timeit", "tokenize", "traceback", "types", "uuid", "zipfile",
]  # fmt: skip

_CODE = json.dumps('def total(values):\n    """Return the sum of all values."""\n    return sum(values)')
_RUBRIC = f"""
id: docstring-line
version: 1
criteria:
  correctness:
    definition: Is the answer the first line of the docstring in the code?
    grades:
    - {{grade: 0, means: the line of something else, examples: [{{question: {_CODE}, answer: Close the file.}}]}}
    - {{grade: 1, means: half of it is right, examples: [{{question: {_CODE}, answer: Return the sum of the file.}}]}}
    - {{grade: 2, means: one word is wrong, examples: [{{question: {_CODE}, answer: Return the sum of all files.}}]}}
    - {{grade: 3, means: exactly that line, examples: [{{question: {_CODE}, answer: Return the sum of all values.}}]}}
"""


def functions() -> Iterator[tuple[str, str, str]]:
    """Module, source and first docstring line of short functions."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for module in _MODULES:
        text = (library / f"{module}.py").read_text()
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef) or not (line := (ast.get_docstring(node) or "").split("\n")[0]):
                continue
            source = ast.get_source_segment(text, node) or ""
            if len(source) <= _LONGEST and 5 <= len(line.split()) <= 14:
                yield module, source, line


def labelled(count: int) -> list[dict[str, object]]:
    """Answers with the grade that they were made for; of a module two at most."""
    rng, chosen = Random(0), list[tuple[str, str, str]]()
    found = list(functions())
    rng.shuffle(found)
    for module, source, line in found:
        if sum(each[0] == module for each in chosen) < 2:
            chosen.append((module, source, line))
    records: list[dict[str, object]] = []
    for number, (module, source, line) in enumerate(chosen[:count]):
        other, grade = chosen[(number + 7) % len(chosen)][2].split(), number % 4
        words, place = line.split(), 1 + rng.randrange(len(line.split()) - 1)
        made: dict[int, list[str]] = {
            0: other,
            1: words[: len(words) // 2] + other[len(other) // 2 :],
            2: [*words[:place], other[place % len(other)], *words[place + 1 :]],
            3: words,
        }
        question = f"What is the first line of the docstring of this function?\n{source}"
        told = {"question": question, "answer": " ".join(made[grade]), "cluster": module}
        records.append({"criterion": "correctness", **told, "labels": {"construction": grade}})
    return records


def main() -> None:
    """Ask, and print the card."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True, help="folder of the imported model")
    parser.add_argument("--functions", type=int, default=48)
    parser.add_argument("--minutes", type=float, default=9.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "rubric.yaml").write_text(_RUBRIC)
        use_case = "first lines of docstrings of Python functions"
        (root / "judge.yaml").write_text(f"id: small\nuse_case: {use_case}\nmodel: smollm2\nrubric: rubric.yaml\n")
        records = labelled(asked.functions)
        (root / "labels.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
        found, objects = read_judge(root / "judge.yaml", root / "labels.jsonl"), LocalObjects(root / "objects")
        store_judge(objects, found, root / "scratch")
        order = HearingOrder(
            judge=objects.fetch(key_of(found.content)),
            model=asked.model,
            digest=(weights := hashlib.sha256((asked.model / "model.safetensors").read_bytes()).hexdigest()),
            key="",
            minutes=asked.minutes,
            threads=2,
        )
        began = time.process_time()
        heard = examine(order, lambda counts: print(counts, file=sys.stderr))
        assert heard.card is not None
        print(
            json.dumps(
                {
                    "machine": describe(),
                    "labels": "grades by construction; nobody graded anything",
                    "weights_sha256": weights,
                    "num_answers": len(records),
                    "num_modules": len({str(each["cluster"]) for each in records}),
                    "cpu_seconds": round(time.process_time() - began, 1),
                    "card": heard.card.model_dump(mode="json", exclude={"identity", "model_digest", "valid_until"}),
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
