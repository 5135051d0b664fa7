import pytest

from ropewalk.admin.approvals import sign
from ropewalk.checkpoint_manager.handlers import approve_model, export_checkpoint, promote_model
from ropewalk.checkpoint_manager.settings import EndpointSettings
from ropewalk.delivery.outcome import Done, Reject
from ropewalk.events.checkpoint import (
    ApprovalAwaited,
    ApprovalDecided,
    ApproveModel,
    ModelPromoted,
    ParityCertified,
)
from ropewalk.events.evaluation import Estimate, GateDecided
from ropewalk.events.run import RunAccepted, RunFailed
from ropewalk.events.serving import ModelDeployed, ModelRetired
from ropewalk.events.training import TrainingCompleted
from ropewalk.local.broker.keys import create_key
from ropewalk.model.weights import load_tensors, save_tensors
from ropewalk.stages.errors import StageError

FINAL = TrainingCompleted(
    run_id="r", checkpoint_id="r-7-40", uri="runs/r/checkpoints/7-40", step=40, loss=1.0, tokens=1, seconds=1.0
)
ENDPOINT = EndpointSettings(internal_key="internal-key", timeout_s=20.0)


def a_gate(decision: str = "promote") -> GateDecided:
    gain = Estimate(metric="m", value=1, lower=1, upper=1, level=0.95, num_items=30, method="m")
    return GateDecided(
        run_id="r",
        checkpoint_id="r-7-40",
        export_uri="exports/r-7-40",
        evaluation_uri="evaluations/r-7-40",
        decision=decision,
        reasons=(),
        baseline="b",
        comparison=gain,
    )


@pytest.fixture
async def deployed(stage, endpoints) -> ModelDeployed:
    """The export answers on both endpoints and the gate said promote."""
    (exported,) = await export_checkpoint(stage, FINAL)
    stage.bus.messages.append(a_gate())
    endpoints.load(stage.objects.fetch(exported.uri))
    return ModelDeployed(
        run_id="r",
        model="pycode",
        model_version=1,
        checkpoint_id="r-7-40",
        checkpoint_uri=FINAL.uri,
        export_uri=exported.uri,
        evaluation_uri="evaluations/r-7-40",
        openai_url=endpoints.openai_url,
        triton_grpc=endpoints.triton_grpc,
        triton_model="pycode_1",
        load_s=1.0,
    )


def load_other_weights(stage, endpoints, tmp_path, export_uri: str) -> None:
    """Both endpoints serve a model whose head is the other way round."""
    import shutil

    other = tmp_path / "other"
    shutil.copytree(stage.objects.fetch(export_uri), other)
    weights = load_tensors(other / "model.safetensors")
    weights["lm_head.weight"] = weights["lm_head.weight"].flip(0)
    save_tensors(weights, other / "model.safetensors")
    endpoints.load(other)


@pytest.mark.parametrize("token_ids", [True, False])
async def test_a_model_that_answers_alike_on_all_four_paths_is_promoted(stage, endpoints, deployed, token_ids) -> None:
    endpoints.options["token_ids"] = token_ids
    (promoted,) = await promote_model(stage, deployed, ENDPOINT)
    (certificate,) = stage.emitted
    assert isinstance(certificate, ParityCertified)
    assert certificate.paths == ("trainer", "export", "triton", "openai")
    assert (certificate.num_prompts, certificate.num_tokens, certificate.passed) == (16, 16, True)
    assert (certificate.dtype, certificate.logprob_bound) == ("F32", 1e-4)
    assert certificate.logprob_shifts.keys() == {"export"} | ({"triton"} if token_ids else set())
    assert max(certificate.logprob_shifts.values()) < 1e-5
    assert isinstance(promoted, ModelPromoted)
    assert (promoted.alias, promoted.checkpoint_id) == ("production", "r-7-40")
    assert promoted.manifest_sha256 == (await export_checkpoint(stage, FINAL))[0].manifest_sha256


@pytest.mark.parametrize("token_ids", [True, False])
async def test_nothing_is_promoted_when_an_endpoint_answers_differently(
    stage, endpoints, deployed, tmp_path, token_ids
) -> None:
    endpoints.options["token_ids"] = token_ids
    load_other_weights(stage, endpoints, tmp_path, deployed.export_uri)
    with pytest.raises(StageError, match="nothing was promoted: triton differs from trainer at prompt 1"):
        await promote_model(stage, deployed, ENDPOINT)
    (certificate,) = stage.emitted
    assert not certificate.passed
    assert [sentence.split()[0] for sentence in certificate.differences] == ["triton", "openai"]


async def test_a_wrong_key_is_refused_in_a_clear_sentence(stage, deployed) -> None:
    with pytest.raises(StageError, match="refused a parity prompt for pycode_1: wrong key"):
        await promote_model(stage, deployed, EndpointSettings(internal_key="wrong"))


async def test_nothing_is_promoted_without_the_gate(stage, deployed) -> None:
    stage.bus.messages.append(a_gate("need_more"))
    with pytest.raises(StageError, match="no gate let checkpoint r-7-40 into production"):
        await promote_model(stage, deployed, ENDPOINT)
    assert stage.emitted == []


async def test_nothing_is_promoted_from_an_export_that_changed(stage, deployed) -> None:
    (stage.objects.fetch(deployed.export_uri) / "config.json").write_text("{}")
    with pytest.raises(StageError, match=r"export of pycode@1 does not verify, so nothing was promoted: config\.json"):
        await promote_model(stage, deployed, ENDPOINT)


@pytest.fixture
async def awaited(stage, deployed, tmp_path) -> ApprovalAwaited:
    """A version of alice's run, which has passed everything and asks for a second person."""
    promotion = stage.recipe.promotion.model_copy(update={"approval": "second_person"})
    stage.recipe = stage.recipe.model_copy(update={"promotion": promotion})
    stage.bus.messages.append(RunAccepted(run_id="r", recipe={}, recipe_sha256="0", owner="alice"))
    (tmp_path / "evaluation").mkdir()
    (tmp_path / "evaluation" / "report.json").write_text("{}")
    stage.objects.publish(tmp_path / "evaluation", deployed.evaluation_uri, {})
    (waits,) = await promote_model(stage, deployed, ENDPOINT)
    assert isinstance(waits, ApprovalAwaited)
    stage.bus.messages.append(waits)
    return waits


def a_wish(waits: ApprovalAwaited, approver: str, signature: str) -> ApproveModel:
    return ApproveModel(run_id="r", model="pycode", model_version=1, approver=approver, signature=signature)


async def test_a_version_that_needs_a_second_person_is_promoted_by_the_signature_of_one(
    stage, awaited, tmp_path
) -> None:
    seeds = {name: tmp_path / f"{name}.seed" for name in ("alice", "bob", "eve")}
    public = {name: create_key(seed) for name, seed in seeds.items()}
    keys = {name: public[name] for name in ("alice", "bob")}

    async def answer(approver: str, signer: str, text: ApprovalAwaited = awaited) -> tuple:
        signature = sign(text, approver, seeds[signer])
        outcome = await approve_model(a_wish(awaited, approver, signature), stage.bus, stage.objects, keys)
        assert isinstance(outcome, Done)
        return outcome.messages

    refusals = {
        ("alice", "alice"): "alice is the author of run r: somebody else must approve pycode@1",
        ("eve", "eve"): "eve is no approver of this stack (alice, bob)",
        ("bob", "eve"): "the signature is not that of bob under pycode@1 as it is: nothing was promoted",
    }
    for (approver, signer), sentence in refusals.items():
        (decided,) = await answer(approver, signer)
        assert (decided.approved, decided.reason) == (False, sentence)
    (of_other_bytes,) = await answer("bob", "bob", awaited.model_copy(update={"manifest_sha256": "0"}))
    assert not of_other_bytes.approved

    decided, promoted = await answer("bob", "bob")
    assert isinstance(decided, ApprovalDecided)
    assert (decided.approved, decided.approver, decided.public_key) == (True, "bob", public["bob"])
    assert decided.evaluation_sha256 == awaited.evaluation_sha256 != ""
    assert isinstance(promoted, ModelPromoted)
    assert (promoted.alias, promoted.manifest_sha256) == ("production", awaited.manifest_sha256)
    stage.bus.messages += [decided, promoted]
    assert await answer("bob", "bob") == ()  # a repetition
    (late,) = await answer("eve", "eve")
    assert (late.approved, late.reason) == (False, "pycode@1 was promoted already (approved by bob)")


async def test_a_version_that_was_retired_while_it_waited_is_not_approved(stage, awaited, tmp_path) -> None:
    keys = {"bob": create_key(tmp_path / "bob.seed")}
    wish = a_wish(awaited, "bob", sign(awaited, "bob", tmp_path / "bob.seed"))
    failed = RunFailed(run_id="r", stage="promote", message="m")  # which serving says with it
    stage.bus.messages += [ModelRetired(run_id="r", model="pycode", model_version=1), failed]
    outcome = await approve_model(wish, stage.bus, stage.objects, keys)
    assert isinstance(outcome, Done)
    (decided,) = outcome.messages
    assert decided.reason == "pycode@1 is retired, so it is not promoted any more: submit its run again"


async def test_what_waits_for_nobody_or_was_damaged_since_is_not_approved(stage, awaited, tmp_path) -> None:
    keys = {"bob": create_key(tmp_path / "bob.seed")}
    wish = a_wish(awaited, "bob", sign(awaited, "bob", tmp_path / "bob.seed"))
    other = await approve_model(wish.model_copy(update={"model_version": 2}), stage.bus, stage.objects, keys)
    assert isinstance(other, Reject)
    (stage.objects.fetch(awaited.export_uri) / "config.json").write_text("{}")
    outcome = await approve_model(wish, stage.bus, stage.objects, keys)
    assert isinstance(outcome, Done)
    assert "the export of pycode@1 does not verify" in outcome.messages[0].reason
