"""What one reader asks must neither read a file nor keep the others waiting: against the real engine."""

import gzip
import socket
import threading
import time
import zlib
from urllib.parse import urlencode

import httpx
import lz4.frame
import psutil
import pytest
import zstandard

SECRET = "seed-of-the-operator"
ENDLESS = "SELECT count() FROM numbers(10000000000000) WHERE NOT ignore(sipHash64(number))"
QUERY_SECONDS = 5  # of the fixture


def ask(interface, query, *, auth=None, **parameters):
    everything = {"query": query, **parameters}
    return httpx.get(interface.url, params=everything, auth=auth or interface.reader, timeout=60)


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "credentials.json"
    path.write_text(f'{{"nats_password": "{SECRET}"}}\n')
    return path


@pytest.mark.parametrize(
    ("setting", "format_name"),
    [
        ("format_template_resultset", "Template"),
        ("format_template_row", "Template"),
        ("format_template_row", "TEMPLATE"),
        ("format_schema", "Protobuf"),
        ("format_schema", "CapnProto"),
        ("format_schema", "ProtobufList"),
        ("format_template_resultset", "JSON"),
    ],
)
def test_no_setting_of_a_reader_names_a_file(interface, secret_file, setting, format_name):
    for where in ({"default_format": format_name}, {}):
        sql = "SELECT 1" if where else f"SELECT 1 FORMAT {format_name}"
        answer = ask(interface, sql, **where, **{setting: str(secret_file)})
        assert answer.status_code == 403, answer.text
        assert SECRET not in answer.text


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FORMAT Template SETTINGS format_template_resultset = '{path}'",
        "SELECT 1 SETTINGS format_template_resultset = '{path}' FORMAT Template",
        "SELECT 1 FORMAT `Template`",
        'SELECT 1 FORMAT "Tem\\x70late"',
        "SELECT 1 FORMAT/**/Template",
        "SELECT 1 AS format, 2 FORMAT -- JSON\n Template",
        "SELECT * FROM (SELECT 1) FORMAT tEmPlAtE;",
        "SELECT * FROM default.`{path}`",
        "SELECT * FROM `{path}`",
        "SELECT formatRow('Template', 1) SETTINGS format_template_row = '{path}'",
        "EXPLAIN SELECT 1 FORMAT CapnProto SETTINGS format_schema = '{path}:x'",
    ],
)
def test_no_statement_of_a_reader_names_a_file(interface, secret_file, sql):
    answer = ask(interface, sql.replace("{path}", str(secret_file)))
    assert answer.status_code != 200
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    "sql",
    [
        "EXISTS TABLE default.`{path}`",
        "EXISTS default.`{path}`",
        'EXISTS TABLE "default"."{path}"',
        "EXISTS TABLE default/**/.`{path}` FORMAT CSV",
        "EXISTS VIEW default.`{path}`",
        "EXISTS TABLE `{path}`",
        "DESCRIBE default.`{path}`",
        "DESCRIBE TABLE `{path}`",
        "SHOW CREATE TABLE default.`{path}`",
        "SHOW COLUMNS FROM `{path}` FROM default",
        "SHOW INDEX FROM `{path}` FROM default",
        "EXPLAIN SELECT * FROM default.`{path}`",
        "EXPLAIN ESTIMATE SELECT * FROM default.`{path}`",
        "SELECT * FROM default.`{path}`",
        "SELECT 1 IN default.`{path}`",
        "SELECT 1 FROM ropewalk.request JOIN default.`{path}` USING (c1)",
        "SELECT hasColumnInTable('default', '{path}', 'c1')",
        "SELECT hasColumnInTable('', '{path}', 'c1')",
        "SELECT joinGet('default.{path}', 'c1', 1)",
        "SELECT * FROM mergeTreeIndex('default', '{path}')",
        "SELECT * FROM merge('default', '{path}')",
        "SELECT * FROM system.columns WHERE database = 'default' AND table = '{path}'",
        "CHECK TABLE default.`{path}`",
    ],
)
@pytest.mark.parametrize("database", ["ropewalk", "default"])
def test_no_statement_of_a_reader_tells_which_files_exist(interface, tmp_path, sql, database):
    there, nowhere = tmp_path / "abcd.csv", tmp_path / "wxyz.csv"
    there.write_text("1,2\n")
    answers = [ask(interface, sql.replace("{path}", str(path)), database=database) for path in (there, nowhere)]
    said = [answer.text.replace("wxyz", "abcd") for answer in answers]
    assert (answers[0].status_code, said[0]) == (answers[1].status_code, said[1])


@pytest.mark.parametrize("name", ["JSON", "JSONCompact", "CSVWithNames", "TSV", "Native", "Parquet", "PrettyCompact"])
def test_the_formats_that_readers_use_are_served(interface, name):
    assert ask(interface, f"SELECT 1 AS format FORMAT {name}").status_code == 200
    assert ask(interface, "SELECT 1", default_format=name).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("readonly", "0"),  # speaks to the transport: ignored
        ("max_execution_time", "0"),
        ("max_execution_time", "999999"),
        ("max_result_bytes", "0"),
        ("max_memory_usage", "0"),
    ],
)
def test_a_limit_can_only_be_lowered(interface, name, value):
    shown = f"SELECT value FROM system.settings WHERE name = '{name}'"
    assert ask(interface, shown, **{name: value}).text == ask(interface, shown).text != "0\n"


@pytest.mark.parametrize("value", ["-1", "1e9", "inf", "nan", "0x10", "", "9" * 40, "1; DROP", "٣"])
def test_a_limit_is_a_plain_number(interface, value):
    assert ask(interface, "SELECT 1", max_execution_time=value).status_code == 403


@pytest.mark.parametrize(
    "setting",
    [
        "dialect",
        "timeout_overflow_mode",
        "additional_table_filters",
        "log_queries",
        "max_query_size",
        "allow_ddl",
        "x" * 9_000,
    ],
)
def test_a_reader_sets_nothing_else(interface, setting):
    answer = ask(interface, "SELECT 1", **{setting: "1"})
    assert answer.status_code == 403
    assert len(answer.text) < 1_000


@pytest.mark.parametrize("sql", ["SELECT 1 SETTINGS max_execution_time = 0", "SELECT 1 SETTINGS max_result_bytes = 0"])
def test_limits_win_over_the_statement(interface, sql):
    assert ask(interface, sql).status_code == 403


def test_limits_win_over_the_writer_too(interface):
    answer = httpx.post(
        interface.url,
        params={"max_execution_time": "0"},
        content=b"SELECT value FROM system.settings WHERE name = 'max_execution_time'",
        auth=interface.writer,
    )
    assert answer.text == f"{QUERY_SECONDS}\n"


def test_an_answer_has_a_size(interface):
    answer = ask(interface, "SELECT randomString(1000) FROM numbers(1000000)", max_result_bytes="0")
    assert answer.headers["x-clickhouse-exception-code"] in ("396", "241")


def test_clients_that_do_not_read_their_large_answers_hold_little_memory(interface):
    query = urlencode({"query": "SELECT randomPrintableASCII(1000) FROM numbers(100000)"})  # 100 MB
    process, peak, links = psutil.Process(), 0, []
    before = process.memory_info().rss
    for user, password in [interface.reader, interface.writer] * 10:
        head = f"GET /?{query} HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {password}\r\n\r\n"
        links.append(socket.create_connection(("127.0.0.1", interface.port), 10))
        links[-1].sendall(head.encode())
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        peak = max(peak, process.memory_info().rss - before)
        time.sleep(0.02)
    for link in links:
        link.close()
    assert peak < 800 << 20, f"{peak >> 20} MB"


def test_large_answers_arrive_whole_and_a_lowered_limit_still_holds(interface):
    sql = "SELECT number, repeat('x', 1000) FROM numbers(60000)"
    answer = ask(interface, sql)
    assert (len(answer.content), answer.text.count("\n")) == (int(answer.headers["content-length"]), 60_000)
    assert answer.text.splitlines()[-1] == "59999\t" + "x" * 1000
    assert ask(interface, sql, max_result_bytes="1000").headers["x-clickhouse-exception-code"] == "396"
    cut = ask(interface, sql, result_overflow_mode="break", max_result_bytes="40000000")
    assert 30_000_000 < len(cut.content) < 61_000_000


def test_errors_of_the_engine_are_cut_and_on_one_line(interface):
    answer = ask(interface, f"SELECT nothing_called_{'x' * 50_000}")
    assert answer.status_code == 404
    assert len(answer.text) < 1_000
    assert answer.text.count("\n") == 1
    assert "UNKNOWN_IDENTIFIER" in answer.text


@pytest.mark.parametrize("query_id", ["a\nb", "x" * 300, "a\r\nSet-Cookie: b=c", "é", "\x1b[31m"])
def test_a_query_id_that_is_no_name_is_refused(interface, query_id):
    answer = ask(interface, "SELECT 1", query_id=query_id)
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("default_format", ["JSON\nX: y", "é", "../../x", "x" * 100])
def test_a_format_that_is_no_name_is_refused(interface, default_format):
    assert ask(interface, "SELECT 1", default_format=default_format).status_code == 400
    assert ask(interface, "SELECT 1", auth=interface.writer, default_format=default_format).status_code == 400


@pytest.mark.parametrize(
    "authorization", ["Basic é", "Basic !!!!", "Basic /w==", "Basic", "Bearer é", "Digest x", "\xff"]
)
def test_odd_credentials_are_a_stranger(interface, authorization):
    sent = httpx.get(interface.url, headers={"Authorization": authorization.encode("latin-1", "replace")})
    assert sent.status_code in (401, 403)


def packed(encoding, num_bytes):
    zeros = b"-" * (1 << 20)
    pieces = num_bytes >> 20
    match encoding:
        case "gzip" | "deflate":
            packer = zlib.compressobj(9, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
        case "zstd":
            packer = zstandard.ZstdCompressor(level=3).compressobj()
        case "lz4":
            return lz4.frame.compress(zeros * pieces)
    return b"".join(packer.compress(zeros) for _ in range(pieces)) + packer.flush()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_a_small_body_does_not_become_a_large_one(interface, encoding):
    began = time.process_time()
    for bomb in (packed(encoding, 512 << 20), packed(encoding, 6 << 20)):
        answer = httpx.post(
            interface.url, content=bomb, headers={"Content-Encoding": encoding}, auth=interface.reader, timeout=60
        )
        assert answer.status_code == 400
        assert "longer than 4,194,304 bytes" in answer.text
    assert time.process_time() - began < 20


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "lz4"])
def test_a_body_that_was_cut_off_is_not_taken_as_whole(interface, encoding):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.compress, "lz4": lz4.frame.compress}
    whole = pack[encoding](b"SELECT 'packed', '" + bytes(range(35, 91)) * 40 + b"'")
    for body in (whole[:-5], whole[: len(whole) // 2], b""):
        answer = httpx.post(interface.url, content=body, headers={"Content-Encoding": encoding}, auth=interface.reader)
        assert answer.status_code == 400, answer.text
        assert f"is not {encoding}" in answer.text


def test_members_and_frames_that_follow_each_other_are_all_read(interface):
    for encoding, pack in (("gzip", gzip.compress), ("zstd", zstandard.compress), ("lz4", lz4.frame.compress)):
        body = pack(b"SELECT 'one") + pack(b" two'")
        answer = httpx.post(interface.url, content=body, headers={"Content-Encoding": encoding}, auth=interface.reader)
        assert answer.text == "one two\n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 " + "/*" * 130_000,
        "SELECT " + "'" * 250_001,
        "SELECT " + '"' * 250_001,
        "SELECT `" * 30_000,
        "SELECT 1 FORMAT x" + " " * 250_000 + "y",
        "SELECT " + "(" * 120_000,
        "SELECT '" + "\\" * 250_001,
        "SELECT {a:" + " " * 250_000 + "x}",
        "SELECT 1 FORMAT " * 16_000,
    ],
)
def test_a_statement_made_to_be_read_slowly_is_refused_quickly(interface, sql):
    began = time.process_time()
    answer = httpx.post(interface.url, content=sql.encode(), auth=interface.reader, timeout=60)
    assert answer.status_code in (400, 403, 404, 500), answer.text
    assert len(answer.text) < 1_000
    assert time.process_time() - began < 3


@pytest.mark.parametrize(
    "body",
    [
        b"query=" + b"\xff\xfe",
        b"query=SELECT+1" + b"&a=b" * 5_000,
    ],
)
def test_a_form_that_cannot_be_read_is_refused(interface, body):
    answer = httpx.post(
        interface.url,
        content=body,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        auth=interface.reader,
    )
    assert answer.status_code == 400


def test_forms_within_forms_are_not_entered(interface):
    nested = b"".join(b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" for _ in range(5_000))
    answer = httpx.post(
        interface.url,
        content=nested,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        auth=interface.reader,
    )
    assert answer.status_code == 200  # nothing was asked
    assert answer.text == "Ok.\n"


@pytest.mark.parametrize("as_who", ["reader", "writer", None])
def test_a_body_announced_too_long_is_refused_before_it_comes(interface, as_who):
    user, password = getattr(interface, as_who) if as_who else ("", "")
    head = f"POST / HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {password}\r\n"
    with socket.create_connection(("127.0.0.1", interface.port), 10) as link:
        link.sendall(head.encode() + b"Content-Length: 999999999999\r\n\r\nabc")
        assert link.recv(100)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 401")


def running(interface):
    sql = "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%' AND query NOT LIKE '%processes%'"
    answer = ask(interface, sql, auth=interface.operator)
    return int(answer.text) if answer.status_code == 200 else -1


def wait_until(holds, within_s):
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def test_clients_that_leave_take_their_queries_with_them(interface):
    query = urlencode({"query": ENDLESS, "max_execution_time": "0"})
    user, password = interface.reader
    head = f"GET /?{query} HTTP/1.1\r\nHost: x\r\nX-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {password}\r\n\r\n"
    links = [socket.create_connection(("127.0.0.1", interface.port), 10) for _ in range(3)]
    for link in links:
        link.sendall(head.encode())
    assert wait_until(lambda: running(interface) == 3, 8)
    for link in links:
        link.close()
    assert wait_until(lambda: running(interface) == 0, QUERY_SECONDS - 1)


def test_when_everything_is_taken_others_get_in_after_the_limit(interface):
    answers = []
    endless = [
        threading.Thread(target=lambda: answers.append(ask(interface, ENDLESS, max_execution_time="999999")))
        for _ in range(6)
    ]
    for thread in endless:
        thread.start()
    assert wait_until(lambda: running(interface) == 3, 8)
    for account in (interface.operator, interface.writer):
        began = time.monotonic()
        assert ask(interface, "SELECT 1", auth=account).text == "1\n"
        assert time.monotonic() - began < 3
    assert ask(interface, "SELECT 1").text == "1\n"
    for thread in endless:
        thread.join(60)
    assert {answer.headers["x-clickhouse-exception-code"] for answer in answers} <= {"159", "202"}
