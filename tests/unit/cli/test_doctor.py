"""`ropewalk doctor` against a stack that is not there."""

import json


def test_a_stack_that_is_away_is_bad_news_for_programs_and_wrong_words_are_wrong_use(ropewalk, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    assert ropewalk("doctor", "nonsense")[0] == 2
    monkeypatch.setenv("ROPEWALK_NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setenv("ROPEWALK_CLIENT_OPENAI_URL", "http://127.0.0.1:1/v1")
    monkeypatch.setenv("ROPEWALK_CLIENT_CLICKHOUSE_URL", "http://127.0.0.1:1")
    code, out, _ = ropewalk("doctor", "--json")
    told = json.loads(out)
    assert (code, told["looked_at"]) == (1, "stack")
    bad = [each for each in told["checks"] if not each["well"]]
    assert {each["check"] for each in bad} == {"bus", "tables", "endpoint"}
    assert all(each["remedy"] for each in bad)
