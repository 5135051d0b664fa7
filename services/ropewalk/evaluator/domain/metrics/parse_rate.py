"""Do completions of code parse?

A prompt is a held-out file up to the end of one of its top-level statements. The model continues it greedily for at
most MAX_NEW_TOKENS tokens. A completion parses when, after dropping the line and then the statement that the token
limit left unfinished, at least one line with code is left and Python's own parser accepts that statement with the
rest of the completion after it. A completion that the model ended itself is taken as it is.
"""

import ast
import warnings
from collections.abc import Sequence
from dataclasses import replace

from ropewalk.evaluator.domain.excerpts import place
from ropewalk.evaluator.domain.metric import Effort, Finding, Metric
from ropewalk.evaluator.domain.statistics import example_share, paired_example_share
from ropewalk.evaluator.domain.tasks import Item, TaskSet
from ropewalk.evaluator.ports import MAX_NEW_TOKENS, Scorer

_FEWEST_CHARACTERS = 200  # of a prompt: less tells the model too little to go on
_ALLOW_INCOMPLETE_INPUT = 0x4000  # as in codeop: an input that could still become valid says "incomplete input"
_FLAGS = ast.PyCF_ONLY_AST | _ALLOW_INCOMPLETE_INPUT
_UNPARSABLE = (SyntaxError, ValueError, MemoryError, RecursionError)


def cut_prompts(items: Sequence[Item], count: int, seed: int) -> tuple[Item, ...]:
    """At most `count` prompts: one of every file in hash order, then a second one, and so on.

    The `reference` of a prompt is its last statement.
    """
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
            # Only an unfinished statement is forgiven, and only where the token limit cut it off.
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


def _shuffled(item: Item, seed: int) -> list[Item]:
    """The prompts of a file in hash order; none if the file itself does not parse."""
    text = item.text.replace("\r\n", "\n")
    try:
        body = _compile(text).body
    except _UNPARSABLE:
        return []
    lines = text.split("\n")
    prompts = [
        replace(
            item,
            item_id=f"{item.item_id}/{node.end_lineno}",
            text="\n".join(lines[: node.end_lineno]) + "\n",
            reference="\n".join(lines[node.lineno - 1 : node.end_lineno]) + "\n",
        )
        for node in body[:-1]  # after the last statement the file has nothing to go on with
        # The lineno of a decorated function is that of its `def`: its decorators would be lost.
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


def _select(documents: TaskSet, effort: Effort) -> TaskSet:
    count = effort.num_completions
    return TaskSet("held-out prompts", cut_prompts(documents.items, count, effort.seed) if count else ())


def _score(scorer: Scorer, items: Sequence[Item]) -> list[Finding] | None:
    said = scorer.complete(items)
    if said is None:
        return None
    return [
        Finding(float(parses(item.reference, each.text, ended=each.ended)), each.text)
        for item, each in zip(items, said, strict=True)
    ]


METRIC = Metric(
    name="parse_rate",
    quantity="completions that parse",
    better="higher",
    unit="share",
    definition=(
        "Share of greedy completions that parse. A prompt is a held-out file up to the end of an undecorated "
        f"top-level statement; at most {MAX_NEW_TOKENS} tokens follow. The line and then the statement that the token "
        "limit left unfinished are dropped; at least one line with code must be left, and Python's parser must "
        "accept the prompt's last statement with the rest after it. A completion that the model ended is not cut."
    ),
    select=_select,
    score=_score,
    level=example_share,
    gain=paired_example_share,
)
