"""What the client makes of HTTP answers."""

import pytest

from ropewalk.client.endpoints import query, stream_chat, stream_completion
from ropewalk.client.errors import EndpointRefusedError, NotKnownError, UnreachableError
from ropewalk.client.settings import ClientSettings
from ropewalk.local.checkup.stack import stack_checks

META = [{"name": "n", "type": "UInt8"}, {"name": "s", "type": "String"}]


def settings_for(endpoint):
    return ClientSettings(
        openai_url=f"{endpoint.url}/v1", api_key="key", clickhouse_url=endpoint.url, clickhouse_token="secret"
    )


async def test_query_gives_columns_and_rows_and_sends_user_and_password(endpoint):
    endpoint.answers({"meta": META, "data": [[1, "a"], [2, "b"]]})

    table = await query(settings_for(endpoint), "SELECT 1")

    assert table.as_records() == [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}]
    method, path, headers, body = endpoint.asked[0]
    assert (method, body) == ("POST", b"SELECT 1")
    assert "default_format=JSONCompact" in path
    assert (headers["x-clickhouse-user"], headers["x-clickhouse-key"]) == ("ropewalk", "secret")


async def test_refused_query_shows_the_servers_words(endpoint):
    endpoint.answers(b"Code: 60. DB::Exception: Unknown table 'nope'", status=404)

    with pytest.raises(EndpointRefusedError, match="Unknown table 'nope'"):
        await query(settings_for(endpoint), "SELECT * FROM nope")


async def test_a_query_of_a_user_who_is_not_known_says_what_to_set(endpoint):
    endpoint.answers(b"Code: 516. DB::Exception: ropewalk: Authentication failed", status=403)

    with pytest.raises(NotKnownError, match="failed; set ROPEWALK_CLIENT_CLICKHOUSE_TOKEN"):
        await query(settings_for(endpoint), "SELECT 1")


async def test_completion_arrives_piece_by_piece(endpoint):
    endpoint.answers(
        b'data: {"choices": [{"text": "a, "}]}\n\n: keep-alive\n\ndata: {"choices": [{"text": "b"}]}\n\n'
        b'data: {"choices": []}\n\ndata: [DONE]\n\n'
    )

    pieces = [piece async for piece in stream_completion(settings_for(endpoint), {"prompt": "def add("})]

    assert pieces == ["a, ", "b"]
    assert endpoint.asked[0][2]["authorization"] == "Bearer key"


async def test_refused_completion_shows_the_endpoints_message(endpoint):
    endpoint.answers({"error": {"message": "the prompt has 900 tokens, the context 256"}}, status=400)

    with pytest.raises(EndpointRefusedError, match="900 tokens"):
        _ = [piece async for piece in stream_completion(settings_for(endpoint), {"prompt": "x"})]


async def test_error_in_the_middle_of_a_stream_is_no_silent_end(endpoint):
    endpoint.answers(b'data: {"choices": [{"text": "a"}]}\n\ndata: {"error": {"message": "the model died"}}\n\n')

    with pytest.raises(EndpointRefusedError, match="the model died"):
        _ = [piece async for piece in stream_completion(settings_for(endpoint), {"prompt": "x"})]


async def test_the_answer_to_a_conversation_arrives_piece_by_piece(endpoint):
    endpoint.answers(
        b'data: {"choices": [{"delta": {"role": "assistant", "content": "Good "}}]}\n\n'
        b'data: {"choices": [{"delta": {"content": "day"}}]}\n\ndata: {"choices": [{"delta": {}}]}\n\ndata: [DONE]\n\n'
    )

    asked = {"messages": [{"role": "user", "content": "\udcff"}]}  # a byte of a command line that is no character
    assert [piece async for piece in stream_chat(settings_for(endpoint), asked)] == ["Good ", "day", ""]
    assert endpoint.asked[0][1] == "/v1/chat/completions"


async def test_nobody_at_the_address_is_said_with_the_address():
    nobody = ClientSettings(openai_url="http://127.0.0.1:9/v1", clickhouse_url="http://127.0.0.1:9")

    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9"):
        await query(nobody, "SELECT 1")
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9/v1"):
        _ = [piece async for piece in stream_completion(nobody, {"prompt": "x"})]


def test_a_doctor_says_of_a_refused_password_that_it_is_refused(endpoint):
    endpoint.answers(b"Code: 516. DB::Exception: ropewalk: Authentication failed", status=403)

    (tables,) = next(check for check in stack_checks(settings_for(endpoint)) if check.name == "tables").ask()

    assert "refuses the password of ropewalk" in tables.what
    assert "start" not in tables.remedy
