"""A small instruction set made from code that is at hand: write the docstring of a function.

For trying fine-tuning without any data of one's own. Every example is one conversation; the answer is the first
paragraph of the function's docstring. `python -m ropewalk.recipes.docstrings chat.jsonl` writes one from the standard
library's source.
"""

import argparse
import ast
import copy
import inspect
import json
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pydantic import JsonValue

Example = dict[str, JsonValue]

_MIN_ANSWER_CHARS = 20  # shorter ones say nothing ("See above.")
_MAX_ANSWER_CHARS = 300
_MAX_SIGNATURE_CHARS = 300
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def docstring_examples(folder: Path, limit: int) -> Iterator[Example]:
    """At most `limit` conversations from the .py files below a folder, in the order of their paths.

    No question occurs twice. Files that are not Python of this interpreter's version are passed over.
    """
    asked: set[str] = set()
    for path in sorted(folder.rglob("*.py")):
        for example, question in _examples_of(path):
            if len(asked) == limit:
                return
            if question not in asked:
                asked.add(question)
                yield example


def write_examples(examples: Iterable[Example], path: Path) -> int:
    """Write one JSON per line, the format of a `chat` source. Returns the number of examples."""
    lines = [json.dumps(example, ensure_ascii=False) + "\n" for example in examples]
    path.write_text("".join(lines), encoding="utf-8")
    return len(lines)


def _examples_of(path: Path) -> Iterator[tuple[Example, str]]:
    for function in _functions_of(path):
        answer = _first_paragraph(ast.get_docstring(function) or "")
        signature = _signature(function)
        if _MIN_ANSWER_CHARS <= len(answer) <= _MAX_ANSWER_CHARS and len(signature) <= _MAX_SIGNATURE_CHARS:
            question = f"Write the docstring of `{signature}`"
            turns: list[JsonValue] = [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
            yield {"messages": turns}, question


def _functions_of(path: Path) -> list[_Function]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return []
    return [node for node in ast.walk(tree) if isinstance(node, _Function)]


def _signature(function: _Function) -> str:
    """`def name(arguments) -> result`, without decorators and body."""
    bare = copy.copy(function)
    bare.decorator_list = []
    bare.body = [ast.Pass()]
    return ast.unparse(bare).removesuffix("pass").rstrip().removesuffix(":")


def _first_paragraph(docstring: str) -> str:
    return " ".join(inspect.cleandoc(docstring).split("\n\n")[0].split())


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: where to write, how many examples at most, and whose docstrings."""
    parser = argparse.ArgumentParser(prog="python -m ropewalk.recipes.docstrings", description=main.__doc__)
    parser.add_argument("output", type=Path, help="the JSONL file to write, for a source with `format: chat`")
    parser.add_argument("--limit", type=int, default=2000, help="examples at most (default: 2000)")
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(sysconfig.get_paths()["stdlib"]),
        help="where the .py files are (default: the standard library)",
    )
    given = parser.parse_args(arguments)
    try:
        count = write_examples(docstring_examples(given.folder, given.limit), given.output)
    except OSError as error:
        parser.error(f"{given.output} cannot be written: {error.strerror}")
    if count == 0:
        parser.error(f"no function with a docstring was found in {given.folder}")
    sys.stdout.write(f"{count} conversations in {given.output}\n")


if __name__ == "__main__":
    main()
