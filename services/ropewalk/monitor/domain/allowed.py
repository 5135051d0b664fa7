"""What a request may ask of the engine besides its statement: settings and formats.

A setting can name a file that the engine then reads into an answer or an error (`format_template_resultset`,
`format_schema`), or lift the limits that protect everybody else. So a reader has a list of what it may set, and the
limits of the interface win over every request, also over a writer's.
"""

import re
from collections.abc import Mapping

from ropewalk.events.foreign import quoted
from ropewalk.monitor.domain.statements import ForbiddenError, formats_in

_NUMBER = re.compile(r"\d{1,18}(?:\.\d{1,6})?", re.ASCII)
_FLAG = frozenset({"0", "1", "true", "false"})
_FLAGS = (
    "extremes",
    "join_use_nulls",
    "prefer_column_name_to_alias",
    "output_format_csv_crlf_end_of_line",
    "output_format_decimal_trailing_zeros",
    "output_format_json_array_of_rows",
    "output_format_json_escape_forward_slashes",
    "output_format_json_named_tuples_as_objects",
    "output_format_json_quote_64bit_floats",
    "output_format_json_quote_64bit_integers",
    "output_format_json_quote_decimals",
    "output_format_json_quote_denormals",
    "output_format_native_use_flattened_dynamic_and_json_serialization",
    "output_format_parquet_string_as_string",
    "output_format_arrow_string_as_string",
    "output_format_tsv_crlf_end_of_line",
    "output_format_write_statistics",
    "use_query_cache",
)
_CHOICES: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(_FLAGS, _FLAG),
    "cast_string_to_dynamic_use_inference": _FLAG,
    "cast_string_to_variant_use_inference": _FLAG,
    "date_time_input_format": frozenset({"basic", "best_effort", "best_effort_us"}),
    "date_time_output_format": frozenset({"simple", "iso", "unix_timestamp"}),
    "result_overflow_mode": frozenset({"throw", "break"}),
    "output_format_compression_level": frozenset("123456789"),
}
_COUNTS = frozenset({"max_block_size", "max_bytes_to_read", "max_result_rows", "max_rows_to_read", "max_threads"})
_FORMATS = re.compile(
    r"""(tabseparated|tsv)(raw)?(withnames(andtypes)?)? | raw | csv(withnames(andtypes)?)? | tskv | values | vertical
    | markdown | md | xml | null
    | json(strings|columns|columnswithmetadata|compact|compactstrings|compactcolumns|lines|l|objecteachrow)?
    | json(compact)?(strings)?eachrow(withnames(andtypes)?|withprogress)? | ndjson | bsoneachrow
    | pretty(json(eachrow|lines)|ndjson) | pretty(compact|space)?(noescapes)?(monoblock)?
    | native | rowbinary(withnames(andtypes)?)? | parquet | arrow(stream)? | orc | avro | msgpack
    | lineasstring | rawblob | npy | sqlinsert""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)


def limited(asked: Mapping[str, str], ceilings: Mapping[str, float], *, reader: bool) -> dict[str, str]:
    """The settings of one request: a limit of ours may only be lowered. Raises ForbiddenError."""
    kept = {name: f"{ceiling:g}" if ceiling < 1 else str(int(ceiling)) for name, ceiling in ceilings.items()}
    for name, value in asked.items():
        if name in ceilings:
            kept[name] = _lowered(name, value, kept[name])
        elif reader and not _is_harmless(name, value):
            raise ForbiddenError(
                f"this user may not set {quoted(name)} to {quoted(value)}: it may lower {', '.join(sorted(ceilings))} "
                f"and set {', '.join(sorted(_COUNTS))} and how an answer is written (`output_format_json_…`)"
            )
        else:
            kept[name] = value
    return kept


def check_formats(sql: str, default: str) -> None:
    """Raises ForbiddenError for a format that needs files or settings to say what it means."""
    for name in (default, *formats_in(sql)):
        if not _FORMATS.fullmatch(name):
            raise ForbiddenError(f"this user may not ask for the format {quoted(name)}: use JSON, CSV or Native, say")


def _is_harmless(name: str, value: str) -> bool:
    if name in _COUNTS:
        return bool(_NUMBER.fullmatch(value))
    return value in _CHOICES.get(name, ())


def _lowered(name: str, value: str, ceiling: str) -> str:
    """The engine reads 0 as no limit at all."""
    if not _NUMBER.fullmatch(value):
        raise ForbiddenError(f"{name} is a number of at most {ceiling}, not {quoted(value)}")
    return value if 0 < float(value) < float(ceiling) else ceiling
