"""The Jinja environment of transformers' chat templates (`utils/chat_template_utils.py`, Apache-2.0), without it.

Same sandbox, tags, filters and functions, so that a template gives the same text. Only `room` may render: nothing
here bounds time or memory.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.task import CharSpan

MAX_OUTPUT = 16_000_000  # characters
_REASONING = ("reasoning_content", "thinking", "reasoning")  # the first is what templates read


@dataclass
class Rendered:
    """A text, and where in it the template said `{% generation %}`."""

    text: str = ""
    generated: list[CharSpan] = field(default_factory=list)


class ChatTemplate:
    """A compiled template and its variables. Raises ChatTemplateError."""

    def __init__(self, source: str, variables: dict[str, str]) -> None:
        self._environment = _Environment()
        self._variables = variables
        try:
            self._template = self._environment.from_string(source)
            tree = self._environment.parse(source)
        except (jinja2.TemplateError, RecursionError, SyntaxError) as error:
            raise ChatTemplateError(f"the chat template does not compile: {_sentence(error)}") from None
        calls = [block.call.node for block in tree.find_all(nodes.CallBlock)]
        self.has_generation = any(isinstance(call, nodes.ExtensionAttribute) for call in calls)
        self.constants = [node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)]
        self.literals = "\0".join([*self.constants, *(node.data for node in tree.find_all(nodes.TemplateData))])

    def render(self, messages: Sequence[dict[str, Any]], *, answer_follows: bool) -> Rendered:
        """The text, as transformers renders it. Raises ChatTemplateError with what the template says."""
        if not messages:
            raise ChatTemplateError("a conversation needs at least one message")
        try:
            return self._environment.collect(
                self._template.generate(
                    messages=[_plain(message) for message in messages],
                    tools=None,
                    documents=None,
                    add_generation_prompt=answer_follows,
                    **self._variables,
                )
            )
        except (ChatTemplateError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 a template raises whatever Python can raise
            raise ChatTemplateError(f"the chat template refuses these messages: {_sentence(error)}") from None


class _Environment(ImmutableSandboxedEnvironment):
    """What a template may use."""

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols])
        self.rendered, self.length = Rendered(), 0
        self.filters["tojson"] = _tojson
        self.globals |= {
            "raise_exception": _refuse,
            "strftime_now": lambda layout: datetime.now().strftime(layout),
            "dict": _Dict(),
            "namespace": _Namespace,
        }

    def collect(self, pieces: Any) -> Rendered:
        """Everything the template writes. Raises ChatTemplateError beyond MAX_OUTPUT."""
        self.rendered, self.length = Rendered(), 0
        kept = []
        for piece in pieces:
            kept.append(piece)
            self.length += len(piece)
            if self.length > MAX_OUTPUT:
                raise ChatTemplateError(f"the chat template writes more than {MAX_OUTPUT:,} characters")
        self.rendered.text = "".join(kept)
        return self.rendered


class _GenerationTag(Extension):
    """`{% generation %}…{% endgeneration %}` says which part of a text the model is to produce."""

    tags = {"generation"}  # noqa: RUF012 so does Jinja declare it
    environment: _Environment

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_note"), [], [], body).set_lineno(line)

    def _note(self, caller: Any) -> str:
        text = str(caller())
        begin = self.environment.length
        self.environment.rendered.generated.append((begin, begin + len(text)))
        return text


class _Dict:
    """`dict` without the attributes of the class."""

    def __call__(self, *args: Any, **fields: Any) -> dict[Any, Any]:
        return dict(*args, **fields)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Namespace(Namespace):
    """A namespace that takes no name with an underscore first."""

    def __init__(*args: Any, **fields: Any) -> None:  # no `self`: a template may give a field of this name
        self, given = args[0], dict(*args[1:], **fields)
        for name in given:
            _check_name(name)
        Namespace.__init__(self, given)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace takes no name that begins with an underscore: {name[:40]}")


def _refuse(message: Any) -> None:
    raise jinja2.TemplateError(str(message))


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message without its null fields, and what the assistant thought under each name that templates read."""
    kept = {name: value for name, value in message.items() if value is not None}
    thought = next((kept[name] for name in _REASONING if name in kept), None)
    return kept if thought is None else {"thinking": thought, **kept, "reasoning_content": thought}


def _sentence(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 300 else text[:300] + "…"
