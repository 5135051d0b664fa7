"""The demo's traffic: ordinary prompts are Python, shifted ones are prose in German, French and legal English."""

import random
import sysconfig
from collections.abc import Sequence
from pathlib import Path

_MOST_BYTES = 260
_COMPLETION_TOKENS = 16
_MOST_FILES = 60

_GERMAN = (
    ("Die Versammlung", "Der Ausschuss", "Die Behörde", "Der Vorstand", "Die Gemeinde"),
    ("beschließt", "prüft", "genehmigt", "verschiebt", "begrüßt"),
    ("den Haushalt", "die Ausschreibung", "den Bebauungsplan", "die Vereinbarung", "das Gutachten"),
    ("für das kommende Jahr", "nach längerer Aussprache", "mit großer Mehrheit", "ohne weitere Änderungen"),
)
_FRENCH = (
    ("Le conseil municipal", "La commission", "Le directeur général", "L’assemblée", "Le comité"),
    ("a approuvé", "a examiné", "reporte", "propose de modifier", "s’oppose à"),
    ("le budget annuel", "la convention collective", "le projet de règlement", "les travaux prévus"),
    ("après une longue délibération", "à l’unanimité", "sous réserve d’un avis favorable", "dès l’automne"),
)
_LEGAL = (
    ("The Lessee", "Each Party", "The Licensor", "The Guarantor", "Any successor in title"),
    ("shall indemnify", "hereby releases", "covenants with", "undertakes to notify", "may not assign to"),
    ("the other party", "the Trustee", "every Affiliate thereof", "the holder of record", "the Escrow Agent"),
    ("notwithstanding any prior agreement", "in accordance with clause nine", "within thirty business days"),
)
_JOINERS = (". ", "; ", ". Ferner: ", ". De plus, ", ", provided that ")


def longest_prompt(context_length: int) -> int:
    """Bytes of a prompt that surely fits: a byte-level tokenizer makes at most one token of a byte."""
    return min(_MOST_BYTES, context_length - _COMPLETION_TOKENS)


def ordinary_prompts(count: int, seed: int, most_bytes: int) -> list[str]:
    """Beginnings of statements cut from the standard library of this interpreter."""
    chosen = random.Random(seed)
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in chosen.sample(files, _MOST_FILES)]
    return [_cut(chosen, chosen.choice(texts), most_bytes) for _ in range(count)]


def shifted_prompts(count: int, seed: int, most_bytes: int) -> list[str]:
    """Sentences put together from phrases, hardly one twice."""
    chosen = random.Random(seed)
    return [_prose(chosen, (_GERMAN, _FRENCH, _LEGAL)[number % 3], most_bytes) for number in range(count)]


def _cut(chosen: random.Random, text: str, most_bytes: int) -> str:
    lines = text.splitlines(keepends=True)
    start = chosen.randrange(max(1, len(lines) - 12))
    return _shorten("".join(lines[start : start + 12]), chosen, most_bytes).rstrip() or "def main():"


def _prose(chosen: random.Random, phrases: Sequence[Sequence[str]], most_bytes: int) -> str:
    text = ""
    while len(text) < most_bytes:
        text += " ".join(chosen.choice(part) for part in phrases) + chosen.choice(_JOINERS)
    return _shorten(text, chosen, most_bytes).rstrip()


def _shorten(text: str, chosen: random.Random, most_bytes: int) -> str:
    """To a length between a quarter and all of what is allowed."""
    length = chosen.randint(most_bytes // 4, most_bytes)
    # Cut in bytes; half a letter at the end is dropped.
    return text.encode()[:length].decode("utf-8", "ignore")
