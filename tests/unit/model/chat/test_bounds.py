"""A template is the code of a stranger: it ends in time, in memory and in a sentence, and the next chat is rendered."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ropewalk.model.chat.errors import ChatTemplateError
from ropewalk.model.chat.folder import ChatFolder
from ropewalk.model.chat.renderer import ChatRenderer, check_template

SAY = [{"role": "user", "content": "hi"}]
Make = Callable[..., ChatRenderer]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[ChatRenderer] = []

    def renderer(template: str, **variables: str) -> ChatRenderer:
        made.append(ChatRenderer(ChatFolder(template=template, variables=variables, special=("<|end|>",), ordinary=())))
        return made[-1]

    yield renderer
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "more than 2 s of proc"),
        ("{% set x = [1] %}" + "{% set x = [x, x] %}" * 40 + "{{ x }}", "more than 2 s of processor|too much memory"),
        ("{{ 'a' * 10 ** 11 }}", "too much memory"),
        ("{{ 'x' | center(10 ** 10) }}", "too much memory"),
        ("{% set n = namespace(s='a') %}{% for i in range(60) %}{% set n.s = n.s*2 %}{% endfor %}", "too much memory"),
        ("{% for i in range(90000) %}{{ 'x' * 10000 }}{% endfor %}", "writes more than 16,000,000 characters"),
        ("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}", "recursion"),
        ("{{ " + "(" * 3000 + ")" * 3000 + " }}", "does not compile"),
        ("{% if %}", "does not compile"),
        ("{{ 'abc' | nosuch }}", "does not compile: No filter named 'nosuch'"),
        ("{% include 'x' %}", "refuses these messages"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
        ("{% set n = namespace() %}{% set n.__init__ = 1 %}", "underscore"),
        ("{{ 1 / 0 }}", "refuses these messages: division by zero"),
        ("{{ raise_exception('x' * 5000) }}", "refuses these messages: x{300}…"),
        ("{{ messages[7].content.a }}", "refuses these messages"),
    ],
)  # fmt: skip
def test_a_bad_template_ends_in_a_sentence(make: Make, template: str, sentence: str) -> None:
    with pytest.raises(ChatTemplateError, match=sentence):
        make(template).prompt(SAY)


def test_a_renderer_goes_on_after_a_chat_that_was_too_much(make: Make) -> None:
    renderer = make("{% if messages[0].content == 'burn' %}{{ 'x' * 10 ** 11 }}{% endif %}{{ messages[0].content }}")
    for _ in range(3):
        with pytest.raises(ChatTemplateError):
            renderer.prompt([{"role": "user", "content": "burn"}])
        assert renderer.prompt(SAY).text == "hi"


def test_a_killed_process_is_replaced_and_none_is_left_behind(make: Make) -> None:
    renderer = make("{{ messages[0].content }}")
    before = set(psutil.Process().children())
    renderer.prompt(SAY)
    (process,) = set(psutil.Process().children()) - before
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    assert renderer.prompt(SAY).text == "hi"
    renderer.close()
    assert set(psutil.Process().children()) <= before


def test_a_template_sees_no_secret_of_the_service(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROPEWALK_SECRET", "s3cret")
    renderer = make("{{ messages[0].content }}")
    before = set(psutil.Process().children())
    renderer.prompt(SAY)
    (process,) = set(psutil.Process().children()) - before
    assert not [name for name in process.environ() if "ROPEWALK" in name]


def test_messages_of_a_megabyte_are_rendered(make: Make) -> None:
    renderer = make("{% for m in messages %}{{ m.content | trim | tojson }}<|end|>\n{% endfor %}")
    messages = [{"role": "user", "content": "a <b> 'c' é " * 40} for _ in range(2000)]
    began = time.process_time()
    prompt = renderer.prompt(messages)
    assert prompt.text.count("<|end|>") == len(prompt.marks) == 2000
    assert time.process_time() - began < 5


@pytest.mark.parametrize("messages", [[], [{}], [{"role": "user"}], [{"role": "user", "content": 3}]])
def test_odd_messages_are_refused_in_a_sentence(make: Make, messages: list[dict[str, Any]]) -> None:
    renderer = make("{% for m in messages %}{{ m.role }}{{ m.content.strip() }}{% endfor %}")
    with pytest.raises(ChatTemplateError, match="message"):
        renderer.prompt(messages)
    assert renderer.prompt(SAY).text == "userhi"


def test_a_lone_surrogate_passes_through(make: Make) -> None:
    assert make("{{ messages[0].content }}").prompt([{"role": "user", "content": "\ud800"}]).text == "\ud800"


def test_checking_a_template_compiles_it_and_no_more() -> None:
    check_template("{{ raise_exception('no') }}")
    with pytest.raises(ChatTemplateError, match="Expected an expression"):
        check_template("{% if %}")


def test_the_process_ends_with_the_service_however_that_ends(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}")
    program = (
        "import sys, time, pathlib; from ropewalk.model.chat.renderer import ChatRenderer\n"
        "r = ChatRenderer(pathlib.Path(sys.argv[1])); r.prompt([{'role': 'user', 'content': 'x'}])\n"
        "print(r._process.pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        process = psutil.Process(int(service.stdout.readline()))
        service.kill()
        service.wait(10)
        psutil.wait_procs([process], timeout=10)
        assert not process.is_running()
