"""A conversation on the command line."""

from ropewalk.cli.commands.complete import converse
from ropewalk.client.errors import EndpointRefusedError


def typed(*lines: str):  # type: ignore[no-untyped-def]
    left = iter(lines)
    return lambda: next(left, None)


def test_every_turn_is_asked_with_all_that_was_said_before() -> None:
    asked: list[int] = []

    def answer(messages: list[dict[str, str]]) -> str:
        asked.append(len(messages))
        return f"answer {len(asked)}"

    messages = converse(typed("one", "  ", "two"), [{"role": "system", "content": "be kind"}], answer)
    assert asked == [2, 4]
    assert [each["content"] for each in messages] == ["be kind", "one", "answer 1", "two", "answer 2"]


def test_a_refused_turn_is_said_and_taken_back(capsys) -> None:  # type: ignore[no-untyped-def]
    def answer(messages: list[dict[str, str]]) -> str:
        if messages[-1]["content"] == "too long":
            raise EndpointRefusedError("the prompt has 900 tokens, the context 256")
        return "yes"

    messages = converse(typed("one", "too long", "two"), [], answer)
    assert [each["content"] for each in messages] == ["one", "yes", "two", "yes"]
    assert "900 tokens" in capsys.readouterr().err


def test_slash_new_begins_anew_and_keeps_what_the_model_was_told() -> None:
    messages = converse(typed("one", "/new", "two"), [{"role": "system", "content": "s"}], lambda _: "yes")
    assert [each["content"] for each in messages] == ["s", "two", "yes"]
