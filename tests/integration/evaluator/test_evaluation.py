import json
import re
import shutil

import pytest
from parts.judged_runs import a_promotion, judge

from ropewalk.corpus.document import ChatMessage, write_records
from ropewalk.corpus.trained import STATES
from ropewalk.evaluator.adapters.corpus import read_items
from ropewalk.evaluator.adapters.scoring import ScoredModel
from ropewalk.evaluator.domain.budget import gate_seed
from ropewalk.evaluator.domain.estimates import SUBJECTS, Contest, best_baseline, estimate_all
from ropewalk.evaluator.domain.metric import ItemScore, Measurement
from ropewalk.evaluator.domain.metrics import METRICS
from ropewalk.evaluator.domain.roles import GATES, NGRAMS
from ropewalk.events.evaluation import EvaluationReopened, EvaluationStarted
from ropewalk.events.score import ScoreBatch
from ropewalk.stages.errors import StageError


def turn(role: str, content: str) -> ChatMessage:
    return ChatMessage(role=role, content=content)


def scores_of(folder, metric: str) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    return [row for row in rows if row["metric"] == metric]


def measured_in(folder) -> list[Measurement]:
    """What a sealed report's metrics found."""
    rows = {metric: tuple(ItemScore(**row) for row in scores_of(folder, metric.name)) for metric in METRICS}
    return [Measurement(metric, found) for metric, found in rows.items() if found]


async def test_a_trained_model_beats_the_unigram_and_is_promoted(world) -> None:
    stage = world.stage()
    completed, decided = await judge(stage, "longer")
    assert stage.emitted[0] == EvaluationStarted(run_id="r", checkpoint_id="r-7-40", gate_set="pycode/0")
    assert decided.decision == "promote"
    assert decided.baseline == "the token unigram"
    estimates = {estimate.metric: estimate for estimate in completed.estimates}
    candidate, unigram = estimates["bits_per_byte"], estimates["baseline_unigram_bits_per_byte"]
    assert candidate.upper < unigram.lower
    assert estimates["baseline_trigram_bits_per_byte"].value < unigram.value
    assert decided.comparison == estimates["bits_per_byte_gain"]
    assert decided.comparison.value == pytest.approx(unigram.value - candidate.value)
    assert 0 < decided.comparison.lower < decided.comparison.value < decided.comparison.upper
    assert 0 <= estimates["parse_rate"].lower <= estimates["parse_rate"].upper <= 1


async def test_a_first_model_must_beat_the_best_ngram_and_its_completions_must_parse(world) -> None:
    completed, decided = await judge(world.stage(evaluation={"gate": "full"}), "barely")
    estimates = {estimate.metric: estimate.value for estimate in completed.estimates}
    best = min(("unigram", "bigram", "trigram"), key=lambda name: estimates[f"baseline_{name}_bits_per_byte"])
    assert decided.baseline == f"the token {best}" != "the token unigram"
    gain = estimates[f"baseline_{best}_bits_per_byte"] - estimates["bits_per_byte"]
    assert decided.comparison.value == pytest.approx(gain)
    assert decided.decision == "reject"
    world.objects.delete(completed.uri)
    _, toy = await judge(world.stage(evaluation={"gate": "toy"}), "barely")
    assert (toy.decision, toy.baseline) == ("promote", "the token unigram")
    assert "gate of a toy" in toy.reasons[-1]


async def test_a_model_whose_completions_never_parse_is_not_promoted_whatever_it_gains(world) -> None:
    stage = world.stage(evaluation={"gate": "full"})
    stage.bus.messages.append(a_promotion("untrained", 1))
    completed, decided = await judge(stage, "hardly")
    assert decided.comparison.lower > 0
    rates = {e.metric: e.value for e in completed.estimates if "parse_rate" in e.metric}
    assert rates == {"parse_rate": 0.0, "production_parse_rate": 0.0, "parse_rate_gain": 0.0}
    assert decided.decision == "reject"
    assert re.fullmatch(
        r"completions that parse: 0% of \d+ held-out prompts; the gate asks for more than 0%", decided.reasons[0]
    )


def note_what_production_learnt_from(world, stage, name: str, kept: list[str]) -> None:
    """Production's run published a dataset that says so."""
    folder = world.root / "scratch" / name
    folder.mkdir()
    rows = [{"doc_id": doc, "path": doc, "content": "", "state": "kept"} for doc in kept]
    write_records(folder / STATES, [*rows, {"doc_id": "29", "path": "p", "content": "", "state": "held_out"}])
    world.objects.publish(folder, f"datasets/{name}", {})
    mine = stage.bus.messages[0]
    stage.bus.messages += [
        a_promotion("untrained", 1),
        mine.model_copy(update={"run_id": "earlier-1", "uri": f"datasets/{name}"}),
    ]


async def test_what_production_has_learnt_from_is_left_out_and_counted(world) -> None:
    stage = world.stage()
    note_what_production_learnt_from(world, stage, "some", [str(number) for number in range(8)])
    completed, decided = await judge(stage, "longer")
    assert (completed.num_held_out, completed.num_seen_by_opponent) == (30, 8)
    assert decided.comparison.num_items == 22
    assert "pycode@1 has learnt from 8 of the 30 held-out documents, which were left out" in decided.reasons
    folder = world.objects.fetch(completed.uri)
    report = json.loads((folder / "report.json").read_text())
    assert (report["num_held_out"], report["num_seen_by_opponent"], report["num_files"]) == (30, 8, 22)
    scored = {row["item_id"] for row in scores_of(folder, "bits_per_byte")}
    assert scored == {str(number) for number in range(8, 30)}
    prompts = {row["path"] for row in scores_of(folder, "parse_rate")}
    assert prompts
    assert not prompts & {f"{number}.py" for number in range(8)}


async def test_a_larger_held_out_share_that_production_has_learnt_from_does_not_decide(world) -> None:
    stage = world.stage()
    note_what_production_learnt_from(world, stage, "most", [str(number) for number in range(20)])
    _, decided = await judge(stage, "longer")
    assert decided.decision == "need_more"
    assert decided.reasons[0].endswith("so 10 are missing: add sources that pycode@1 has not seen")


async def test_a_second_judgement_has_a_report_of_its_own_and_is_another_try(world) -> None:
    stage = world.stage()
    first, _ = await judge(stage, "trained")
    stage.bus.messages += [EvaluationReopened(run_id="r", checkpoint_id=first.checkpoint_id, look=2)]
    second, decided = await judge(stage, "trained")
    assert (first.uri, second.uri) == ("evaluations/r-7-40", "evaluations/r-7-40.2")
    assert (decided.look, decided.try_number) == (2, 2)
    assert decided.comparison.level > 0.95
    kept = [json.loads((world.objects.fetch(uri) / "report.json").read_text()) for uri in (first.uri, second.uri)]
    assert [(each["look"], each["try_number"]) for each in kept] == [(1, 1), (2, 2)]
    assert (await judge(stage, "trained"))[0] == second  # after a crash


async def test_nothing_that_production_has_not_seen_is_no_failure(world) -> None:
    stage = world.stage()
    note_what_production_learnt_from(world, stage, "all", [str(number) for number in range(30)])
    completed, decided = await judge(stage, "longer")
    assert decided.decision == "need_more"
    assert completed.num_seen_by_opponent == 30
    assert "pycode@1 has learnt from all 30 held-out documents, so none of them can judge" in decided.reasons


async def test_what_is_not_known_of_the_opponents_training_is_said(world) -> None:
    stage = world.stage()
    stage.bus.messages.append(a_promotion("untrained", 1))
    completed, decided = await judge(stage, "longer")
    assert completed.num_seen_by_opponent == -1
    assert "which of the 30 held-out documents pycode@1 has learnt from is not known" in decided.reasons
    report = json.loads((world.objects.fetch(completed.uri) / "report.json").read_text())
    assert report["num_seen_by_opponent"] is None


def an_earlier_try(number: int, gate_set: str) -> EvaluationStarted:
    return EvaluationStarted(run_id=f"try-{number}", checkpoint_id=f"try-{number}-1-1", gate_set=gate_set)


async def test_the_eighth_checkpoint_against_the_same_version_must_be_surer_than_the_first(world) -> None:
    stage = world.stage()
    stage.bus.messages.append(a_promotion("trained", 1))
    completed, first = await judge(stage, "longer")
    world.objects.delete(completed.uri)
    stage = world.stage()
    stage.bus.messages.append(a_promotion("trained", 1))
    stage.bus.messages += [an_earlier_try(number, "pycode/1") for number in range(7)]
    stage.bus.messages += [an_earlier_try(9, "pycode/0"), an_earlier_try(10, "other/1")]
    completed, eighth = await judge(stage, "longer")
    assert (first.gate_set, first.try_number, first.comparison.level) == ("pycode/1", 1, 0.95)
    assert (eighth.gate_set, eighth.try_number) == ("pycode/1", 8)
    assert eighth.comparison.level == pytest.approx(1 - 0.1 / 72)
    assert eighth.comparison.lower < first.comparison.lower < first.comparison.value == eighth.comparison.value
    assert "99.86% interval" in eighth.reasons[0]
    assert any(reason.startswith("this is try 8 against pycode@1") for reason in eighth.reasons)
    assert eighth.comparison in completed.estimates


async def test_a_redo_that_meets_another_opponent_is_a_try_against_that_one(world, monkeypatch) -> None:
    stage, keys = world.stage(), []
    say = stage.emit

    async def emit(message, key: str = "") -> None:
        keys.extend([key] * isinstance(message, EvaluationStarted))
        await say(message, key)

    monkeypatch.setattr(stage, "emit", emit)
    for promoted in ([], [a_promotion("untrained", 1)]):
        stage.bus.messages += promoted
        completed, _ = await judge(stage, "longer")
        world.objects.delete(completed.uri)
    begun = [message.gate_set for message in stage.emitted if isinstance(message, EvaluationStarted)]
    assert begun == ["pycode/0", "pycode/1"]
    assert len(set(keys)) == 2  # what was said under one key before is not said again


async def test_another_seed_in_the_recipe_is_no_other_draw(world) -> None:
    completed, decided = await judge(world.stage(seed=1), "trained")
    world.objects.delete(completed.uri)
    again, same = await judge(world.stage(seed=2), "trained")
    assert (again.estimates, same.comparison) == (completed.estimates, decided.comparison)


async def test_an_untrained_model_is_rejected(world) -> None:
    _, decided = await judge(world.stage(), "untrained")
    assert decided.decision == "reject"


async def test_the_report_has_every_file_and_agrees_with_the_event(world) -> None:
    completed, decided = await judge(world.stage(), "trained")
    folder = world.objects.fetch(completed.uri)
    report = json.loads((folder / "report.json").read_text())
    items, completions = scores_of(folder, "bits_per_byte"), scores_of(folder, "parse_rate")
    assert report["decision"] == decided.decision
    assert report["num_files"] == len(items) == 30
    bits_per_byte = sum(item["values"]["candidate"] for item in items) / sum(item["num_bytes"] for item in items)
    assert bits_per_byte == pytest.approx(completed.estimates[0].value)
    parsed = sum(completion["values"]["candidate"] for completion in completions)
    assert parsed / len(completions) == completed.estimates[1].value
    assert {"bits_per_byte", "parse_rate", "gate", "excerpts", "baselines"} <= set(report["definitions"])


async def test_the_numbers_of_a_sealed_report_can_be_had_again_without_a_model(world) -> None:
    stage = world.stage(evaluation={"gate": "full"})
    stage.bus.messages.append(a_promotion("untrained", 1))
    completed, decided = await judge(stage, "trained")
    asked = measured_in(world.objects.fetch(completed.uri))
    best = best_baseline(asked[0], NGRAMS)
    contest = Contest("r-7-40", "production", "pycode@1", {best: f"the {SUBJECTS[best]}"})
    again = estimate_all(asked, contest, GATES["full"], seed=gate_seed("pycode"))
    assert sorted(again, key=lambda each: each.metric) == sorted(completed.estimates, key=lambda each: each.metric)
    assert decided.comparison in again


async def test_a_sealed_report_is_not_made_again(world) -> None:
    before, stage = world.stage(), world.stage()
    first = await judge(before, "trained")
    assert await judge(stage, "trained") == first
    assert stage.num_children == 0
    assert stage.emitted == before.emitted[1:], "the scores are said again: who said them may have died"


async def test_every_score_of_every_scorer_is_said_before_the_end(world) -> None:
    stage = world.stage(evaluation={"gate": "full"})
    stage.bus.messages.append(a_promotion("untrained", 1))
    completed, _ = await judge(stage, "trained")
    said = [message for message in stage.emitted if isinstance(message, ScoreBatch)]
    rows = [json.loads(line) for line in (world.objects.fetch(completed.uri) / "scores.jsonl").read_text().splitlines()]
    assert sorted(
        (batch.metric, batch.scorer, each.item_id, each.value) for batch in said for each in batch.scores
    ) == (sorted((row["metric"], name, row["item_id"], value) for row in rows for name, value in row["values"].items()))
    assert {batch.scorer for batch in said} >= {"candidate", "production"}
    bits = [
        each
        for batch in said
        if (batch.metric, batch.scorer) == ("bits_per_byte", "candidate")
        for each in batch.scores
    ]
    level = next(each.value for each in completed.estimates if each.metric == "bits_per_byte")
    assert sum(each.value for each in bits) / sum(each.num_bytes for each in bits) == pytest.approx(level)


async def test_the_newest_production_version_of_the_same_model_is_the_baseline(world) -> None:
    stage = world.stage()
    stage.bus.messages += [
        a_promotion("untrained", 1),
        a_promotion("trained", 2),
        a_promotion("untrained", 9, model="other"),
    ]
    completed, decided = await judge(stage, "longer")
    assert (decided.baseline, decided.decision) == ("pycode@2", "promote")
    estimates = {estimate.metric: estimate.value for estimate in completed.estimates}
    assert decided.comparison.value == pytest.approx(estimates["production_bits_per_byte"] - estimates["bits_per_byte"])


async def test_a_worse_model_does_not_replace_production(world) -> None:
    stage = world.stage()
    stage.bus.messages.append(a_promotion("longer", 1))
    _, decided = await judge(stage, "trained")
    assert decided.decision == "reject"


async def test_the_same_model_again_needs_more(world) -> None:
    stage = world.stage()
    stage.bus.messages.append(a_promotion("trained", 1))
    _, decided = await judge(stage, "trained")
    assert decided.decision == "need_more"
    assert decided.comparison.value == 0.0


async def test_without_the_production_export_the_unigram_is_the_baseline(world) -> None:
    stage = world.stage()
    stage.bus.messages.append(a_promotion("removed", 1))
    _, decided = await judge(stage, "trained")
    assert decided.baseline == "the token unigram"


def a_finetune(world, base_model: str, evalset: str = "evalsets/talk"):
    return world.stage(evalset, mode="finetune", base_model=base_model, profile="prose")


async def test_a_fine_tuned_model_must_beat_its_base_on_the_same_answers(world) -> None:
    base = world.objects.fetch("exports/untrained")
    completed, decided = await judge(a_finetune(world, str(base)), "longer")
    assert decided.baseline == "the base model"
    assert decided.comparison.subject == "the base model"
    estimates = {estimate.metric: estimate.value for estimate in completed.estimates}
    gain = estimates["base_model_bits_per_byte"] - estimates["bits_per_byte"]
    assert decided.comparison.value == pytest.approx(gain)
    items = read_items(world.objects.fetch("evalsets/talk"))
    assert sum(ScoredModel(base).bits(items)) / sum(item.num_bytes for item in items) == pytest.approx(
        estimates["base_model_bits_per_byte"]
    )
    report = json.loads((world.objects.fetch(completed.uri) / "report.json").read_text())
    assert report["baseline_export_uri"] == str(base)


async def test_a_fine_tuned_model_that_is_worse_than_its_base_is_rejected_though_it_beats_the_unigram(world) -> None:
    stage = a_finetune(world, str(world.objects.fetch("exports/longer")), "evalsets/code")
    completed, decided = await judge(stage, "trained")
    estimates = {estimate.metric: estimate.value for estimate in completed.estimates}
    assert estimates["bits_per_byte"] < estimates["baseline_unigram_bits_per_byte"]
    assert (decided.decision, decided.baseline) == ("reject", "the base model")


async def test_production_comes_before_the_base_model(world) -> None:
    stage = a_finetune(world, "/gone")
    stage.bus.messages.append(a_promotion("untrained", 1))
    _, decided = await judge(stage, "longer")
    assert decided.baseline == "pycode@1"


async def test_a_base_model_without_a_chat_template_reads_with_the_candidates(world, tmp_path) -> None:
    base = tmp_path / "base"
    shutil.copytree(world.objects.fetch("exports/untrained"), base)
    (base / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((base / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="chat template"):
        ScoredModel(base).bits(read_items(world.objects.fetch("evalsets/talk")))
    _, decided = await judge(a_finetune(world, str(base)), "longer")
    assert decided.baseline == "the base model"


async def test_a_base_model_that_is_gone_fails_in_a_clear_sentence(world, tmp_path) -> None:
    with pytest.raises(StageError, match=r"base_model '.*/gone' cannot be loaded any more"):
        await judge(a_finetune(world, str(tmp_path / "gone")), "longer")


async def test_a_margin_that_the_gain_does_not_reach_rejects(world) -> None:
    _, decided = await judge(world.stage(evaluation={"margin": 50.0}), "longer")
    assert decided.decision == "reject"


async def test_seven_files_are_too_few(world) -> None:
    _, decided = await judge(world.stage("evalsets/few"), "longer")
    assert decided.decision == "need_more"
    assert "13 are missing" in decided.reasons[0]


async def test_nothing_held_out_fails_in_a_clear_sentence(world) -> None:
    with pytest.raises(StageError, match="no document was held out"):
        await judge(world.stage("evalsets/none"), "trained")


async def test_conversations_are_scored_on_their_answers_and_have_no_parse_rate(world) -> None:
    completed, _ = await judge(world.stage("evalsets/talk"), "trained")
    lines = (world.objects.fetch(completed.uri) / "samples.jsonl").read_text().splitlines()
    samples = [json.loads(line) for line in lines]
    assert samples
    assert all(each["prompt_end"].startswith(("user: ", "system: ")) for each in samples)
    metrics = [estimate.metric for estimate in completed.estimates]
    assert "parse_rate" not in metrics
    report = json.loads((world.objects.fetch(completed.uri) / "report.json").read_text())
    assert report["num_bytes"] == 25 * len("return value + 0")


async def test_prose_has_no_parse_rate(world) -> None:
    completed, _ = await judge(world.stage(profile="prose"), "trained")
    assert "parse_rate" not in [estimate.metric for estimate in completed.estimates]
