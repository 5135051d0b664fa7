"""The demo's traffic: ordinary prompts are Python, shifted ones are prose in German, French and legal English."""

import random
import sysconfig
from collections.abc import Sequence
from pathlib import Path

_LEAST_CHARACTERS, _MOST_CHARACTERS = 60, 260
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


def ordinary_prompts(count: int, seed: int) -> list[str]:
    """Beginnings of statements cut from the standard library of this interpreter."""
    chosen = random.Random(seed)
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in chosen.sample(files, _MOST_FILES)]
    return [_cut(chosen, chosen.choice(texts)) for _ in range(count)]


def shifted_prompts(count: int, seed: int) -> list[str]:
    """Sentences put together from phrases, no two sets alike."""
    chosen = random.Random(seed)
    return [_prose(chosen, (_GERMAN, _FRENCH, _LEGAL)[number % 3]) for number in range(count)]


def _cut(chosen: random.Random, text: str) -> str:
    lines = text.splitlines(keepends=True)
    start = chosen.randrange(max(1, len(lines) - 12))
    length = chosen.randint(_LEAST_CHARACTERS, _MOST_CHARACTERS)
    return "".join(lines[start : start + 12])[:length].rstrip() or "def main():"


def _prose(chosen: random.Random, phrases: Sequence[Sequence[str]]) -> str:
    length = chosen.randint(_LEAST_CHARACTERS, _MOST_CHARACTERS)
    text = ""
    while len(text) < length:
        text += " ".join(chosen.choice(part) for part in phrases) + chosen.choice(_JOINERS)
    return text[:length].rstrip()
