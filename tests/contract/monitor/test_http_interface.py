"""The HTTP interface as its clients see it: the real clickhouse-connect client, and plain HTTP as curl sends it."""

import gzip
import json

import httpx
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from ropewalk.client.queries import named_queries
from ropewalk.monitor.adapters.embedded import EmbeddedEngine
from ropewalk.monitor.adapters.facade import Facade, serve
from ropewalk.report.exports.rows import page_sql
from ropewalk.runtime.health import ListenError


@pytest.fixture(scope="module")
def table(interface):
    client = interface.client(writer=True)
    client.command("CREATE TABLE IF NOT EXISTS ropewalk.things (n UInt64, name String) ENGINE = MergeTree ORDER BY n")
    client.command("TRUNCATE TABLE ropewalk.things")
    client.insert("ropewalk.things", [[1, "one"], [2, "zwei"], [3, "l'été"]], column_names=["n", "name"])
    client.close()
    return "ropewalk.things"


def get(interface, query="", **parameters):
    return httpx.get(
        interface.url, params={"query": query, **parameters} if query else parameters, auth=interface.reader
    )


def test_the_real_client_connects_and_reads_what_it_inserted(interface, table):
    client = interface.client()
    assert client.query(f"SELECT n, name FROM {table} ORDER BY n").result_rows == [
        (1, "one"),
        (2, "zwei"),
        (3, "l'été"),
    ]
    client.close()


def test_client_side_and_server_side_parameters_are_bound(interface, table):
    client = interface.client()
    found = client.query(f"SELECT n FROM {table} WHERE name = {{name:String}}", parameters={"name": "l'été"})
    assert found.result_rows == [(3,)]
    assert client.query("SELECT %(x)s + 1", parameters={"x": 4}).result_rows == [(5,)]
    client.close()


@pytest.mark.parametrize("compression", ["lz4", "zstd", "gzip", False])
def test_results_arrive_whole_under_every_compression(interface, compression):
    client = interface.client(compress=compression)
    rows = client.query("SELECT number, toString(number) FROM numbers(5000)").result_rows
    assert len(rows) == 5000
    assert rows[-1] == (4999, "4999")
    client.close()


def test_inserts_of_many_rows_arrive_under_compression(interface, table):
    client = interface.client(writer=True, compress="lz4")
    client.insert("ropewalk.things", [[n, f"row {n}"] for n in range(1000, 6000)], column_names=["n", "name"])
    assert client.query(f"SELECT count(), sum(n) FROM {table} WHERE n >= 1000").result_rows == [
        (5000, sum(range(1000, 6000)))
    ]
    client.close()


def test_a_statement_too_long_for_a_url_comes_as_a_form(interface):
    client = interface.client(form_encode_query_params=True)
    wide = list(range(3000))
    assert client.query("SELECT length({xs:Array(UInt32)})", parameters={"xs": wide}).result_rows == [(3000,)]
    client.close()


def test_errors_are_typed_and_carry_the_engines_code(interface):
    client = interface.client()
    with pytest.raises(DatabaseError, match="UNKNOWN_TABLE") as caught:
        client.query("SELECT * FROM ropewalk.nowhere")
    assert caught.value.code == 60
    client.close()


def test_the_database_ropewalk_is_the_default(interface):
    assert get(interface, "SELECT count() FROM inference").text == "0\n"


def test_a_query_comes_in_the_url_or_the_body_or_both(interface):
    assert get(interface, "SELECT 1").text == "1\n"
    assert httpx.post(interface.url, content=b"SELECT 2", auth=interface.reader).text == "2\n"
    both = httpx.post(interface.url, params={"query": "SELECT"}, content=b"3", auth=interface.reader)
    assert both.text == "3\n"


def test_the_format_comes_from_the_statement_a_parameter_or_a_header(interface):
    answer = get(interface, "SELECT 1 AS n FORMAT JSON")
    assert answer.json()["data"] == [{"n": 1}]
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-clickhouse-format"] == "JSON"
    assert get(interface, "SELECT 'a', 2", default_format="CSV").text == '"a",2\n'
    headed = httpx.get(
        interface.url,
        params={"query": "SELECT 1 AS n"},
        headers={"X-ClickHouse-Format": "JSONEachRow"},
        auth=interface.reader,
    )
    assert json.loads(headed.text) == {"n": 1}


def test_settings_in_the_url_apply_to_this_request_only(interface):
    shown = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
    assert get(interface, shown, max_block_size="1234").text == "1234\n"
    assert get(interface, shown).text != "1234\n"


def test_an_unknown_setting_is_refused(interface):
    assert get(interface, "SELECT 1", no_such_setting="1").status_code == 403
    unknown = {"query": "SELECT 1", "no_such_setting": "1"}
    answer = httpx.post(interface.url, params=unknown, auth=interface.writer)
    assert (answer.status_code, answer.headers["x-clickhouse-exception-code"]) == (404, "115")


def test_a_compressed_body_is_read(interface):
    answer = httpx.post(
        interface.url,
        content=gzip.compress(b"SELECT 'packed'"),
        headers={"Content-Encoding": "gzip"},
        auth=interface.reader,
    )
    assert answer.text == "packed\n"


def test_a_body_that_is_not_what_its_encoding_says_is_a_clear_error(interface):
    answer = httpx.post(interface.url, content=b"SELECT 1", headers={"Content-Encoding": "zstd"}, auth=interface.reader)
    assert answer.status_code == 400
    assert "the body is not zstd" in answer.text


def test_rows_can_be_posted_as_curl_does(interface, table):
    answer = httpx.post(
        interface.url,
        params={"query": f"INSERT INTO {table} FORMAT JSONEachRow"},
        content=b'{"n": 77, "name": "posted"}\n',
        auth=interface.writer,
    )
    assert answer.status_code == 200, answer.text
    assert get(interface, f"SELECT name FROM {table} WHERE n = 77").text == "posted\n"


def test_every_way_to_log_in_works_and_a_wrong_password_does_not(interface):
    user, key = interface.reader
    one = {"query": "SELECT 1"}
    assert (
        httpx.get(interface.url, params=one, headers={"X-ClickHouse-User": user, "X-ClickHouse-Key": key}).text == "1\n"
    )
    assert httpx.get(interface.url, params=one, headers={"X-ClickHouse-Key": key}).text == "1\n"
    assert httpx.get(interface.url, params=one, headers={"Authorization": f"Bearer {key}"}).text == "1\n"
    assert httpx.get(interface.url, params={**one, "user": user, "password": key}).text == "1\n"
    for wrong in ((user, "wrong"), ("default", ""), ("ropewalk_writer", key), ("", "")):
        answer = httpx.get(interface.url, params=one, auth=wrong)
        assert answer.status_code in (401, 403), wrong
        assert answer.headers["x-clickhouse-exception-code"] in ("194", "516")
    assert httpx.get(interface.url, params=one).status_code == 401


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ropewalk.things VALUES (9, 'x')",
        "INSERT INTO ropewalk.things FORMAT CSV\n9,x",
        "DROP TABLE ropewalk.things",
        "CREATE TABLE ropewalk.more (a Int8) ENGINE = Memory",
        "ALTER TABLE ropewalk.things DELETE WHERE 1",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "SELECT 1 INTO OUTFILE '/tmp/ropewalk-outfile.tsv'",
        "SELECT 1 INTO/**/OUTFILE '/tmp/ropewalk-outfile.tsv'",
        "KILL QUERY WHERE 1",
        "SELECT 1; KILL QUERY WHERE 1",
        "SELECT 1 -- '\n; KILL QUERY WHERE 1 --'",
        "SELECT 1 # '\n; KILL QUERY WHERE 1 -- '",
        "SYSTEM SHUTDOWN",
        "SELECT file('/etc/passwd')",
        "SELECT `file`('/etc/passwd')",
        "SELECT \"fi\\x6ce\"('/etc/passwd')",
        "SELECT arrayMap(file, ['/etc/passwd'])",
        "SELECT * APPLY(file) FROM (SELECT '/etc/passwd')",
        "SELECT 1 IN file('/etc/passwd', 'LineAsString')",
        "DESCRIBE TABLE file('/etc/passwd')",
        "SELECT ‘'’, file('/etc/passwd') --'",
        "SELECT $x$'$x$, file('/etc/passwd') --'",
        "SELECT 1 --\r'\n, file('/etc/passwd') --'",
        "SELECT * FROM Python(settings)",
        "SELECT * FROM eval('SELECT 1')",
        "SELECT * FROM s3('http://127.0.0.1/bucket/x', 'CSV')",
    ],
)
def test_a_reader_can_only_read(interface, table, statement):
    before = get(interface, f"SELECT count(), sum(n) FROM {table}").text
    answer = httpx.post(interface.url, content=statement.encode(), auth=interface.reader)
    assert answer.status_code == 403, answer.text
    assert answer.headers["x-clickhouse-exception-code"] == "164"
    assert get(interface, f"SELECT count(), sum(n) FROM {table}").text == before


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT splitByChar(';', 'a;b')",
        "(SELECT 1) UNION ALL (SELECT 2);",
        "WITH 1 AS x SELECT x",
        "-- what is there?\nSHOW TABLES",
        "DESCRIBE inference",
        "EXPLAIN SELECT 1",
        "EXISTS TABLE inference",
        "SELECT 'it''s -- not a comment; nor /* this'",
        "SELECT 'file', '$5 #1 ‘quoted’ \\\\' AS filed",
        'SELECT count() AS "number of files" -- of every file\'s rows\nFROM inference',
    ],
)
def test_a_reader_can_read_in_every_way(interface, statement):
    answer = httpx.post(interface.url, content=statement.encode(), auth=interface.reader)
    assert answer.status_code == 200, answer.text


def test_a_parameter_cannot_name_what_a_reader_may_not_use(interface):
    reads = get(interface, "SELECT arrayMap({f:Identifier}, ['/etc/passwd'])", param_f="file")
    assert (reads.status_code, reads.headers["x-clickhouse-exception-code"]) == (403, "164")
    assert get(interface, "SELECT count() FROM {t:Identifier}", param_t="inference").text == "0\n"


def test_a_get_request_never_writes_even_for_the_writer(interface, table):
    answer = httpx.get(interface.url, params={"query": f"INSERT INTO {table} VALUES (9, 'x')"}, auth=interface.writer)
    assert answer.headers["x-clickhouse-exception-code"] == "164"


def test_an_endless_query_is_cut_off(interface):
    answer = get(interface, "SELECT count() FROM numbers(1000000000000)", max_execution_time="1")
    assert answer.headers["x-clickhouse-exception-code"] == "159"


def test_each_query_that_ships_runs_on_the_monitors_tables(interface):
    expected = {
        "requests_per_minute",
        "latency_percentiles",
        "tokens_per_second",
        "errors_by_model",
        "loss_curve",
        "cost_by_stage",
        "goodput",
        "alarms",
        "slowest_requests",
        "drop_reasons",
        "traffic_by_version",
    }
    assert expected <= {query.name for query in named_queries()}
    for query in named_queries():
        assert len(query.description) > 20
        answer = httpx.post(interface.url, content=query.sql.encode(), auth=interface.reader)
        assert answer.status_code == 200, (query.name, answer.text)


def test_the_steps_of_an_export_can_be_asked_for_there(interface):
    answer = httpx.post(interface.url, content=page_sql("run-1", 0).encode(), auth=interface.reader)
    assert (answer.status_code, answer.text) == (200, "")


async def test_a_port_that_is_taken_is_said_in_one_sentence(interface):
    with pytest.raises(ListenError, match="ROPEWALK_MONITOR_PORT"):
        await serve(Facade(EmbeddedEngine("unused", 1), ()), "127.0.0.1", interface.port)
