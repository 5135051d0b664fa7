"""The formats that a source may name. A line here and the module of its name in `corpus/reading/readers` are a format.

`auto` goes by the name of each file; those of CONVERSATIONS too, and every record they find is one: turns, an input
with its output, an input that the base model answers, or one with a better and a worse answer.
"""

from collections.abc import Mapping

TEXT, JSON_LINES = "text", "jsonl"
CHAT, EXAMPLES, INPUTS, PREFERENCES = "chat", "examples", "inputs", "preferences"
CONVERSATIONS = (CHAT, EXAMPLES, INPUTS, PREFERENCES)
PROMPTED = (EXAMPLES, INPUTS, PREFERENCES)  # may be read behind a turn of the system that their records lack

# Each with the ends of the names by which `auto` knows its files. What no format claims is read as a text.
FORMATS: Mapping[str, tuple[str, ...]] = {
    TEXT: (),
    JSON_LINES: (".jsonl", ".ndjson"),
    "parquet": (".parquet", ".pq"),
}
CHOICES = ("auto", *CONVERSATIONS, *FORMATS)


def format_of(name: str, wanted: str) -> str:
    """The format of a file by its name, without the suffix of a compression, and by what its source says of it."""
    if wanted in FORMATS:
        return wanted
    otherwise = JSON_LINES if wanted in CONVERSATIONS else TEXT
    return next((each for each, endings in FORMATS.items() if name.lower().endswith(endings)), otherwise)
