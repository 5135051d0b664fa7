"""Do completions of code parse?

A prompt is a held-out file up to the end of one of its top-level statements. The model continues it greedily for at
most MAX_NEW_TOKENS tokens. A completion parses when, after dropping the line and then the statement that the token
limit left unfinished, at least one line with code is left and Python's own parser accepts that statement with the
rest of the completion after it. A completion that the model ended itself is taken as it is.
"""

import ast
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from ropewalk.evaluator.domain.excerpts import Item, place

MAX_NEW_TOKENS = 48
PROMPT_TOKENS = 128  # at most; fewer where the context is smaller
_FEWEST_CHARACTERS = 200
_ALLOW_INCOMPLETE_INPUT = 0x4000  # as in codeop: an input that could still become valid says "incomplete input"
_FLAGS = ast.PyCF_ONLY_AST | _ALLOW_INCOMPLETE_INPUT
_UNPARSABLE = (SyntaxError, ValueError, MemoryError, RecursionError)


@dataclass(frozen=True)
class CompletionPrompt:
    """A file up to a statement's end. `statement` is that last statement, `text` everything including it."""

    path: str
    text: str
    statement: str


def cut_prompts(items: Sequence[Item], count: int, seed: int) -> tuple[CompletionPrompt, ...]:
    """At most `count` prompts: one of every file in hash order, then a second one, and so on."""
    cuts = [_shuffled(item, seed) for item in sorted(items, key=lambda item: place(f"prompt/{item.item_id}", seed))]
    rounds = range(max((len(found) for found in cuts), default=0))
    return tuple(found[number] for number in rounds for found in cuts if number < len(found))[:count]


def parses(statement: str, completion: str, *, ended: bool) -> bool:
    """See the module. `ended`: the model stopped by itself, before the token limit."""
    lines = completion.split("\n")
    if not ended:
        lines.pop()
    while any(_is_code(line) for line in lines):
        try:
            _compile(statement + "\n".join(lines) + "\n")
        except SyntaxError as error:
            if ended or error.msg != "incomplete input":
                return False
            lines.pop()
        except _UNPARSABLE:
            return False
        else:
            return True
    return False


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _shuffled(item: Item, seed: int) -> list[CompletionPrompt]:
    """The prompts of a file in hash order; none if the file itself does not parse."""
    text = item.text.replace("\r\n", "\n")
    try:
        body = _compile(text).body
    except _UNPARSABLE:
        return []
    lines = text.split("\n")
    prompts = [
        CompletionPrompt(
            path=item.path,
            text="\n".join(lines[: node.end_lineno]) + "\n",
            statement="\n".join(lines[node.lineno - 1 : node.end_lineno]) + "\n",
        )
        for node in body[:-1]
        if not hasattr(node, "decorator_list") or not node.decorator_list
    ]
    long_enough = [prompt for prompt in prompts if len(prompt.text) >= _FEWEST_CHARACTERS]
    return sorted(long_enough, key=lambda prompt: place(f"{item.item_id}/{len(prompt.text)}", seed))


def _compile(source: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's strings
        tree = compile(source, "<held out>", "exec", flags=_FLAGS, dont_inherit=True)
    assert isinstance(tree, ast.Module)
    return tree
