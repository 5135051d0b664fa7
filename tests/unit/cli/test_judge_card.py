"""The card of a judge fits a terminal, and says first whether the judge may be used at all."""

import pytest
from parts.judge_files import a_card

from ropewalk.cli.screens import judge_card
from ropewalk.cli.screens.terminal import Terminal
from ropewalk.events.judge import CriterionCard, JudgeFigure, Residuals
from ropewalk.projections.judges import standing_word


def facts_of(verdict="assist", valid_until="2999-01-01T00:00:00+00:00", suspended=None):
    figures = tuple(
        JudgeFigure(name=name, value=0.5, lower=float("-inf"), upper=0.75, num_items=40)
        for name in ("rank correlation", "distance when calibrated", "own family, in grades")
    )
    criterion = CriterionCard(
        criterion="comprehensiveness",
        top_grade=3,
        num_items=40,
        num_ungraded=1,
        num_labels=39,
        num_raters=3,
        figures=figures,
        economy="1.5 [1.2, 1.8]",
        residuals=Residuals(),
        verdict=verdict,
        reasons=("it ranks answers as people do",),
    )
    card = a_card("i" * 64).model_copy(
        update={"criteria": (criterion,), "valid_until": valid_until, "use_case": "x\x1b[2J"}
    )
    audits = {"number": 2, "num_labels": 30}
    return {"card": card.model_dump(mode="json"), "suspended": suspended or {}, "audits": audits}


def test_a_card_is_shown_in_80_columns_with_its_intervals(monkeypatch, capsys) -> None:
    monkeypatch.setattr(judge_card, "console", Terminal(width=80))
    judge_card.print_card("small", facts_of())
    shown = capsys.readouterr().out
    assert shown.startswith("small: assist")
    assert "[-inf, 0.750]" in shown
    assert "2 with 30 labels since" in shown
    assert "\\x1b[2J" in shown
    assert max(len(line) for line in shown.splitlines() if "inf" in line) <= 80


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        (facts_of(), "assist"),
        (facts_of("replace"), "replace"),
        (facts_of(valid_until="2020-01-01T00:00:00+00:00"), "expired"),
        (facts_of(suspended={"at": "2026-01-01T00:00:00Z", "reason": "it drifted"}), "suspended"),
    ],
)
def test_what_a_judge_may_do_is_one_word(facts, word) -> None:
    assert standing_word(facts) == word
