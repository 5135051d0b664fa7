"""Make the task sets that ship, from the source of this Python's standard library and from nothing.

    python benchmarks/evaluation/make_suite.py [--check]

Writes libs/ropewalk/tasksets/suite; the same Python gives the same bytes. `--check` compares instead.
"""

import argparse
import ast
import hashlib
import json
import platform
import random
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SUITE = Path(__file__).parents[2] / "libs" / "ropewalk" / "tasksets" / "suite"
MODULES = [
    "argparse",
    "ast",
    "bisect",
    "calendar",
    "cmd",
    "code",
    "codecs",
    "colorsys",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "difflib",
    "dis",
    "enum",
    "filecmp",
    "fileinput",
    "fnmatch",
    "fractions",
    "ftplib",
    "functools",
    "getopt",
    "gettext",
    "glob",
    "graphlib",
    "gzip",
    "heapq",
    "hmac",
    "imaplib",
    "inspect",
    "ipaddress",
    "keyword",
    "linecache",
    "locale",
    "mailbox",
    "mimetypes",
    "netrc",
    "numbers",
    "optparse",
    "pathlib",
    "pdb",
    "pickletools",
    "platform",
    "plistlib",
    "pprint",
    "profile",
    "queue",
    "quopri",
    "reprlib",
    "sched",
    "selectors",
    "shelve",
    "shlex",
    "shutil",
    "smtplib",
    "socketserver",
    "statistics",
    "string",
    "stringprep",
    "tabnanny",
    "tarfile",
    "tempfile",
    "textwrap",
    "timeit",
    "token",
    "tokenize",
    "trace",
    "traceback",
    "types",
    "uuid",
    "warnings",
    "weakref",
    "zipapp",
]
PSF, FREE = "PSF-2.0", "CC0-1.0"
WORDS = [
    "amber",
    "basin",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "haven",
    "inlet",
    "jetty",
    "knoll",
    "lagoon",
    "marsh",
    "nook",
    "opal",
    "pier",
    "quay",
    "reef",
    "spire",
    "tarn",
]
ALL_SHOWN = {"dev": 1.0, "calibration": 0.0, "gate": 0.0}


@dataclass(frozen=True)
class Function:
    """One of a module, with its source and the first line of its docstring."""

    module: str
    node: ast.FunctionDef
    source: str
    summary: str


def functions() -> list[Function]:
    """Short top-level ones and methods, in the order of the modules."""
    found = []
    for module in MODULES:
        text = Path(sysconfig.get_paths()["stdlib"], f"{module}.py").read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and not node.decorator_list:
                source = ast.unparse(ast.Module([node], []))
                summary = (ast.get_docstring(node) or "").partition("\n")[0].strip()
                if len(source) <= 1_200 and source.isascii():
                    found.append(Function(module, node, source, summary))
    return found


def few(chooser: random.Random, known: list[Function], each: int) -> Iterator[Function]:
    """At most `each` of a module."""
    for module in MODULES:
        mine = [one for one in known if one.module == module]
        yield from chooser.sample(mine, min(each, len(mine)))


def cloze(chooser: random.Random, known: list[Function]) -> Iterator[dict[str, Any]]:
    """Which line comes next?"""
    long = [one for one in known if len(_lines(one)) >= 5]
    last = [_lines(one)[-1].strip() for one in long]
    for one in few(chooser, long, 2):
        *before, right = _lines(one)
        others = [
            line
            for line in chooser.sample(last, 12)
            if line != right.strip() and 0.5 < len(line) / len(right.strip()) < 2
        ]
        if len(set(others)) >= 3 and 8 <= len(right.strip()) <= 80:
            indent = right[: len(right) - len(right.lstrip())]
            choices = list(dict.fromkeys(others))[:3]
            yield _choice(
                chooser,
                {"question": "\n".join(before) + "\n" + indent[:-1], "module": one.module},
                right.strip(),
                choices,
            )


def _lines(one: Function) -> list[str]:
    body = one.node.body[1:] if one.summary and len(one.node.body) > 1 else one.node.body
    plain = ast.FunctionDef(one.node.name, one.node.args, body, [], one.node.returns, lineno=1)
    return ast.unparse(ast.Module([plain], [])).strip().split("\n")[-12:]


def summaries(chooser: random.Random, known: list[Function]) -> Iterator[dict[str, Any]]:
    """Which sentence says what a function does?"""
    told = [one for one in known if 20 <= len(one.summary) <= 90 and one.summary.endswith(".")]
    for one in few(chooser, told, 2):
        others = [each.summary for each in chooser.sample(told, 9) if each.module != one.module]
        choices = [each for each in dict.fromkeys(others) if each != one.summary][:3]
        yield _choice(chooser, {"code": "\n".join(_lines(one)), "module": one.module}, one.summary, choices)


def extraction(chooser: random.Random, known: list[Function]) -> Iterator[dict[str, Any]]:
    """Name, arguments and defaults of a function, as its syntax tree has them."""
    wanted = [one for one in known if 2 <= len(one.node.args.args) <= 6 and not one.node.args.posonlyargs]
    for one in few(chooser, wanted, 2):
        arguments = one.node.args
        yield {
            "code": "\n".join(_lines(one)[:1]) if len(_lines(one)) < 12 else ast.unparse(one.node).split("\n")[0],
            "answer": {
                "name": one.node.name,
                "arguments": [each.arg for each in arguments.args],
                "num_defaults": len(arguments.defaults),
            },
            "module": one.module,
        }


def structure(chooser: random.Random, _: list[Function]) -> Iterator[dict[str, Any]]:
    """Which bracket, quote or key closes what is open?"""
    for number in range(72):
        names = chooser.sample(WORDS, 4)
        value: Any = {names[0]: [chooser.randint(1, 99), {names[1]: names[2]}], names[3]: chooser.random() < 0.5}
        whole = json.dumps(value if number % 2 else [value, names])
        cut = chooser.randint(len(whole) // 2, len(whole) - 2)
        rest = whole[cut:]
        wrong = {rest[::-1], rest[1:] + rest[:1], rest.replace("]", "}") + "]", rest.replace("}", "") + "}"} - {rest}
        choices = sorted(wrong)[:3]
        if len(choices) == 3:
            yield _choice(chooser, {"question": whole[:cut], "shape": f"{number % 24}"}, rest, choices)


def copying(chooser: random.Random, _: list[Function]) -> Iterator[dict[str, Any]]:
    """The same words again."""
    for number in range(72):
        text = " ".join(chooser.choice(WORDS) for _ in range(2 + number % 6))
        yield {"question": text, "answer": text, "shape": f"{number % 24}"}


def arithmetic(chooser: random.Random, _: list[Function]) -> Iterator[dict[str, Any]]:
    """Sums, differences and products of one to three digits."""
    for number in range(96):
        sign, digits = "+-*"[number % 3], 1 + number // 3 % 3
        one, two = (chooser.randrange(10 ** (digits - 1), 10**digits) for _ in range(2))
        answer = {"+": one + two, "-": one - two, "*": one * two}[sign]
        yield {"question": f"{one} {sign} {two}", "answer": str(answer), "shape": f"{number % 24}"}


def programs(chooser: random.Random, _: list[Function]) -> Iterator[dict[str, Any]]:
    """Small functions by their docstrings, each with two numbers in it; what they give is worked out here."""
    for cluster, (name, argument, told, solution, given) in enumerate(PROGRAMS):
        for number in chooser.sample(range(2, 10), 2):
            head = f'def {name}_{number}({argument}):\n    """{told.format(k=number)}"""\n'
            body = f"    return {solution.format(k=number)}\n"
            known: dict[str, Any] = {}
            exec(head + body, known)
            cases = [(each, known[f"{name}_{number}"](each)) for each in given]
            tests = "\n".join(f"assert {name}_{number}({each!r}) == {value!r}" for each, value in cases)
            yield {"question": head, "solution": body, "tests": tests, "kind": f"{cluster}"}


def reading(chooser: random.Random, _: list[Function]) -> Iterator[dict[str, Any]]:
    """What modules say of themselves."""
    for module in MODULES:
        text = Path(sysconfig.get_paths()["stdlib"], f"{module}.py").read_text(encoding="utf-8")
        told = (ast.get_docstring(ast.parse(text)) or "")[:1_200]
        if len(told) >= 120 and told.isascii():
            yield {"text": told, "module": module}


def _choice(chooser: random.Random, item: dict[str, Any], right: str, wrong: list[str]) -> dict[str, Any]:
    at = chooser.randrange(len(wrong) + 1)
    return {**item, "choices": [*wrong[:at], right, *wrong[at:]], "answer": at}


RECORD = {
    "type": "object",
    "required": ["name", "arguments", "num_defaults"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "arguments": {"type": "array", "items": {"type": "string"}},
        "num_defaults": {"type": "integer"},
    },
}
ASKED = (
    "Name, arguments and number of defaults of the function as JSON, like "
    '{"name": "f", "arguments": ["a"], "num_defaults": 0}.'
)
NUMBERS, TEXTS = (0, 3, 17, -8), ("", "a reef of opal", "Fjord")
LISTS: tuple[list[int], ...] = ([], [4, 9, 2, 9, 30], [7])
PROGRAMS = [  # name, argument, docstring, what is returned, what it is tried with
    ("add", "n", "Return n plus {k}.", "n + {k}", NUMBERS),
    ("times", "n", "Return n multiplied by {k}.", "n * {k}", NUMBERS),
    ("minus", "n", "Return n less {k}.", "n - {k}", NUMBERS),
    ("rest", "n", "Return the remainder of n divided by {k}.", "n % {k}", NUMBERS),
    ("is_multiple", "n", "Return whether n is a multiple of {k}.", "n % {k} == 0", NUMBERS),
    ("is_more", "n", "Return whether n is greater than {k}.", "n > {k}", NUMBERS),
    ("at_most", "n", "Return n, but at most {k}.", "min(n, {k})", NUMBERS),
    ("distance", "n", "Return how far n is from {k}, never negative.", "abs(n - {k})", NUMBERS),
    ("power", "n", "Return n to the power of {k}.", "n ** {k}", NUMBERS),
    ("larger", "values", "Return the values that are greater than {k}.", "[v for v in values if v > {k}]", LISTS),
    ("first", "values", "Return the first {k} values.", "values[:{k}]", LISTS),
    ("last", "values", "Return the last {k} values.", "values[-{k}:]", LISTS),
    ("count", "values", "Return how many values are {k} or more.", "sum(v >= {k} for v in values)", LISTS),
    ("scaled", "values", "Return every value multiplied by {k}.", "[v * {k} for v in values]", LISTS),
    ("total", "values", "Return the sum of the values plus {k}.", "sum(values) + {k}", LISTS),
    ("has", "values", "Return whether {k} is among the values.", "{k} in values", LISTS),
    ("without", "values", "Return the values that are not {k}.", "[v for v in values if v != {k}]", LISTS),
    ("repeated", "values", "Return the list of values {k} times in a row.", "values * {k}", LISTS),
    ("cut", "text", "Return the first {k} characters of the text.", "text[:{k}]", TEXTS),
    ("again", "text", "Return the text {k} times in a row.", "text * {k}", TEXTS),
    ("is_long", "text", "Return whether the text has more than {k} characters.", "len(text) > {k}", TEXTS),
    ("padded", "text", "Return the text with {k} spaces before it.", "' ' * {k} + text", TEXTS),
    ("words", "text", "Return the words of the text that have at least {k} letters.",
     "[w for w in text.split() if len(w) >= {k}]", TEXTS),
    ("sliced", "text", "Return every character of the text from place {k} on.", "text[{k}:]", TEXTS),
]  # fmt: skip
SETS: dict[str, tuple[Any, dict[str, Any]]] = {
    "python-cloze": (cloze, {
        "type": "mc", "licence": PSF, "cluster_key": "module", "use_case": "the next line of Python code",
        "templates": ["{question}", "# Python\n{question}", "```python\n{question}"],
    }),
    "python-summary": (summaries, {
        "type": "mc", "licence": PSF, "cluster_key": "module", "use_case": "a sentence about what code does",
        "templates": ["{code}\n\nThis function:", "Summary of\n{code}\n:", "{code}\n# In one sentence:"],
    }),
    "python-extraction": (extraction, {
        "type": "schema", "licence": PSF, "cluster_key": "module", "use_case": "a record out of a line of code",
        "json_schema": RECORD, "max_tokens": 96,
        "templates": [f"{ASKED}\n{{code}}\n", f"{{code}}\n{ASKED}\n", f"Code: {{code}}\nTask: {ASKED}\nAnswer:"],
    }),
    "python-reading": (reading, {
        "type": "rolling", "licence": PSF, "cluster_key": "module", "use_case": "English about Python",
    }),
    "structure": (structure, {
        "type": "mc", "licence": FREE, "cluster_key": "shape", "use_case": "JSON that closes what it opens",
        "delimiter": "", "templates": ["{question}", "JSON: {question}", "```json\n{question}"],
    }),
    "copying": (copying, {
        "type": "generate", "licence": FREE, "cluster_key": "shape", "use_case": "to say again what was said",
        "max_tokens": 48, "templates": [
            "fjord reef\nfjord reef\n\nopal\nopal\n\n{question}\n",
            "Say again: opal reef\nopal reef\nSay again: {question}\n",
            "Input: reef opal pier\nOutput: reef opal pier\nInput: {question}\nOutput:"],
    }),
    "programs": (programs, {
        "type": "code", "licence": FREE, "cluster_key": "kind", "use_case": "small functions that do what they say",
        "max_tokens": 48, "templates": ["{question}", "# Python 3\n\n{question}", "import math\n\n\n{question}"],
    }),
    "arithmetic": (arithmetic, {
        "type": "generate", "licence": FREE, "cluster_key": "shape", "use_case": "sums, differences, products",
        "max_tokens": 12, "templates": [
            "2 + 3 = 5\n7 - 9 = -2\n4 * 6 = 24\n{question} =", "Q: 2 + 3\nA: 5\nQ: {question}\nA:", "{question} ="],
    }),
}  # fmt: skip


def write(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    known = functions()
    for name, (items, fields) in SETS.items():
        rows = list({json.dumps(row, sort_keys=True): row for row in items(random.Random(name), known)})
        body = "".join(f"{row}\n" for row in rows).encode()
        (folder / f"{name}.jsonl").write_bytes(body)
        data = {"file": f"{name}.jsonl", "sha256": hashlib.sha256(body).hexdigest()}
        definition = {"id": name, "version": 1, "data": data, **fields, "splits": ALL_SHOWN}
        head = f"# written by benchmarks/evaluation/make_suite.py with Python {platform.python_version()}\n"
        (folder / f"{name}.yaml").write_text(head + yaml.safe_dump(definition, sort_keys=False, width=118))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args().check:
        write(SUITE)
        return
    with tempfile.TemporaryDirectory() as scratch:
        write(Path(scratch, "suite"))
        made = {path.name: path.read_bytes() for path in Path(scratch, "suite").iterdir()}
    there = {path.name: path.read_bytes() for path in SUITE.iterdir()}
    different = sorted(name for name in {*made, *there} if made.get(name) != there.get(name))
    sys.exit(f"different: {', '.join(different)}" if different else 0)


if __name__ == "__main__":
    main()
