"""Examples "source of a Python function → strict JSON record", with the truth from `ast` and the docstring.

Only what a reader of the source can know is asked: the signature, what the body raises, the docstring's first sentence.
"""

import ast
import hashlib
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

_MOST_SOURCE_CHARS = 320
_MOST_PARAMETERS = 4
_SUMMARY_CHARS = range(12, 81)
_LEFT_OUT = {"test", "tests", "idlelib", "lib2to3", "turtledemo", "site-packages", "dist-packages", "__pycache__"}
_STUB = "NotImplemented"  # what begins so is raised by stubs, of which the library has many
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True)
class Parameter:
    """`name` has its stars; default and annotation are expressions as `ast.unparse` writes them."""

    name: str
    default: str | None
    annotation: str | None


@dataclass(frozen=True)
class Example:
    """A function's source, dedented and without decorators, what is true of it, and the module it comes from."""

    source: str
    name: str
    parameters: tuple[Parameter, ...]
    raises: tuple[str, ...]
    summary: str
    module: str

    @property
    def record(self) -> dict[str, JsonValue]:
        """The answer, with its keys in the order of the schema."""
        return {
            "name": self.name,
            "parameters": [{**vars(each)} for each in self.parameters],
            "raises": [*self.raises],
            "summary": self.summary,
        }

    @property
    def digest(self) -> str:
        """Of the source: an order that is the same everywhere and says nothing."""
        return hashlib.sha256(self.source.encode()).hexdigest()

    @property
    def rank(self) -> int:
        """0: few functions of the library show what this one does; 2: it has nothing to tell but names."""
        names_more = any(each.annotation or each.name.startswith("*") for each in self.parameters)
        if names_more or any(not each.startswith(_STUB) for each in self.raises):
            return 0
        return 1 if self.raises or any(each.default for each in self.parameters) else 2


def chosen_examples(folder: Path, most: int, most_of_a_module: int) -> list[Example]:
    """At most so many functions of the library in `folder`, so many of one module, each source once.

    The rarer come first; otherwise the hash of the source decides. The same files give the same list.
    """
    unique: dict[str, Example] = {}
    for path in sorted(folder.rglob("*.py")):
        if not _LEFT_OUT.intersection(path.relative_to(folder).parts):
            for example in examples_of(path, _module(path.relative_to(folder))):
                unique.setdefault(example.digest, example)
    taken: Counter[str] = Counter()
    chosen: list[Example] = []
    for example in sorted(unique.values(), key=lambda each: (each.rank, each.digest)):
        taken[example.module] += 1
        if taken[example.module] <= most_of_a_module and len(chosen) < most:
            chosen.append(example)
    return sorted(chosen, key=lambda each: each.digest)


def examples_of(path: Path, module: str) -> Iterator[Example]:
    """The short, documented functions of a file. A file that is not Python of this interpreter has none."""
    try:
        text = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code
            tree = ast.parse(text)
    except (SyntaxError, ValueError, OSError):
        return
    lines = text.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            example = example_of(node, lines, module)
            if _is_fit(node, example):
                yield example


def example_of(function: _Function, lines: list[str], module: str = "") -> Example:
    """`lines` are those of the file that the function was parsed from."""
    return Example(
        source=textwrap.dedent("\n".join(lines[function.lineno - 1 : function.end_lineno])),
        name=function.name,
        parameters=tuple(_parameters(function.args)),
        raises=_raised(function),
        summary=_docstring(function)[0].strip(),
        module=module,
    )


def _docstring(function: _Function) -> list[str]:
    return (ast.get_docstring(function) or "").strip().split("\n")


def _is_fit(function: _Function, example: Example) -> bool:
    """Short, without functions inside, and with a first line that does not break off in the middle of a sentence."""
    return (
        len(example.source) <= _MOST_SOURCE_CHARS
        and len(example.parameters) <= _MOST_PARAMETERS
        and len(example.summary) in _SUMMARY_CHARS
        and not "".join(_docstring(function)[1:2]).strip()
        and not any(isinstance(node, _INNER) for node in ast.walk(function) if node is not function)
    )


def _parameters(arguments: ast.arguments) -> Iterator[Parameter]:
    """In the order of the signature; `*` and `**` belong to the name."""
    positional = [*arguments.posonlyargs, *arguments.args]
    without: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    for argument, default in zip(positional, [*without, *arguments.defaults], strict=True):
        yield _parameter(argument, default)
    if arguments.vararg:
        yield _parameter(arguments.vararg, None, "*")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default)
    if arguments.kwarg:
        yield _parameter(arguments.kwarg, None, "**")


def _parameter(argument: ast.arg, default: ast.expr | None, stars: str = "") -> Parameter:
    written = [None if each is None else ast.unparse(each) for each in (default, argument.annotation)]
    return Parameter(stars + argument.arg, *written)


def _raised(function: _Function) -> tuple[str, ...]:
    """Names of the exceptions in `raise X` and `raise X(...)`, sorted, each once. A raised variable is none."""
    raised = [node.exc for node in ast.walk(function) if isinstance(node, ast.Raise) and node.exc is not None]
    names = {ast.unparse(each.func if isinstance(each, ast.Call) else each) for each in raised}
    return tuple(sorted(name for name in names if name.split(".")[-1][:1].isupper()))


def _module(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")
