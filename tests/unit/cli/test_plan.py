"""`plan`: what a budget gives."""

import json


def test_a_plan_tells_size_rates_time_price_and_loss_with_intervals_and_what_to_add_to_the_recipe(ropewalk):
    code, out, _ = ropewalk("plan", "python-stdlib", "--budget", "25", "--gpu", "h100")
    assert code == 0
    for word in ("tokens", "matrices 0.02", "hours (", "price", "nats per token (", "bits per byte", "a million"):
        assert word in out
    assert "  gpu_kind: h100" in out


def test_a_plan_as_json_has_the_same_for_programs(ropewalk, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("The rope is laid on the walk. " * 400)
    code, out, _ = ropewalk("plan", "--hours", "0.1", "--data", str(tmp_path / "notes"), "--json")
    assert code == 0
    told = json.loads(out)
    assert told["plan"]["total_steps"] == told["changes"]["training"]["total_steps"]
    assert told["quote"]["seconds"]["low"] < told["quote"]["seconds"]["value"] <= 360
    assert told["quote"]["epochs"] > 100  # 12 kB, again and again
    assert told["break_even"]["tokens_for_training"] > 0


def test_a_plan_without_a_budget_or_for_what_is_not_known_is_refused_in_a_sentence(ropewalk):
    for arguments, sentence in (
        ((), "give --budget, --hours or --size"),
        (("--size", "giant"), "--size is 'giant': choose tiny, nano, micro, small, base"),
        (("--hours", "1", "--gpu", "b200"), "--gpu is 'b200': the device table has h100"),
        (("--budget", "0.0000001"), "fewer than 10 steps of any size"),
    ):
        code, _, err = ropewalk("plan", *arguments)
        assert code == 2
        assert sentence in " ".join(err.split())
