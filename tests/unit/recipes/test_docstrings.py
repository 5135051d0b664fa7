"""Functions with docstrings become conversations that ingest takes."""

from pathlib import Path

import pytest

from ropewalk.corpus.reading.readers.jsonl import load
from ropewalk.corpus.reading.records import Content, Record, content_of
from ropewalk.recipes.docstrings import docstring_examples, main, write_examples
from ropewalk.recipes.recipe import SourceRecipe

CODE = '''
class Shelf:
    @property
    def width(self, unit: str = "m") -> float:
        """Width of the shelf
        between its sides.

        Raises ValueError."""
        return 1.0

    def depth(self):
        """Short."""

    async def load(self, *books):
        """Put all the books onto the shelf."""

def bare(): ...
'''


def test_the_question_is_the_signature_and_the_answer_the_first_paragraph(tmp_path: Path) -> None:
    (tmp_path / "shelf.py").write_text(CODE)
    (tmp_path / "copy.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("def (")
    examples = list(docstring_examples(tmp_path, 10))
    assert examples == [
        {
            "messages": [
                {"role": "user", "content": "Write the docstring of `def width(self, unit: str='m') -> float`"},
                {"role": "assistant", "content": "Width of the shelf between its sides."},
            ]
        },
        {
            "messages": [
                {"role": "user", "content": "Write the docstring of `async def load(self, *books)`"},
                {"role": "assistant", "content": "Put all the books onto the shelf."},
            ]
        },
    ]
    assert len(list(docstring_examples(tmp_path, 1))) == 1


def test_what_is_written_is_a_chat_source(tmp_path: Path) -> None:
    (tmp_path / "shelf.py").write_text(CODE)
    assert write_examples(docstring_examples(tmp_path, 10), tmp_path / "chat.jsonl") == 2
    for line in (tmp_path / "chat.jsonl").read_bytes().splitlines():
        record = load(line)
        assert isinstance(record, Record)
        content = content_of(record, SourceRecipe(path="/data", licence="MIT", format="chat"))
        assert isinstance(content, Content)
        assert len(content.messages) == 2


def test_the_command_writes_as_many_as_asked_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shelf.py").write_text(CODE)
    output = tmp_path / "chat.jsonl"
    main([str(output), "--limit", "1", "--folder", str(tmp_path)])
    assert len(output.read_text().splitlines()) == 1
    assert capsys.readouterr().out == f"1 conversations in {output}\n"


def test_the_command_takes_the_standard_library_by_itself(tmp_path: Path) -> None:
    main([str(tmp_path / "chat.jsonl"), "--limit", "30"])
    assert len((tmp_path / "chat.jsonl").read_text().splitlines()) == 30


@pytest.mark.parametrize(
    ("output", "sentence"), [("gone/chat.jsonl", "cannot be written"), ("chat.jsonl", "no function with a docstring")]
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], output: str, sentence: str
) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path / output), "--folder", str(tmp_path)])
    assert sentence in capsys.readouterr().err
