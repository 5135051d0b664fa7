"""`plan`: what a budget gives."""

import json
import re


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
        (("--hours", "inf"), "--hours is inf: give a number from 0 to 1,000,000"),
        (("--budget", "1e308"), "--budget is 1e+308: give a number from 0 to 1,000,000"),
        (("--budget", "nan"), "--budget is nan: give a number"),
        (("--size", "tiny", "--data", "/dev/zero"), "'/dev/zero': that is no regular file and no folder"),
        (("--budget", "0.0000001"), "fewer than 10 steps of any size"),
    ):
        code, _, err = ropewalk("plan", *arguments)
        assert code == 2
        assert sentence in " ".join(err.split())


def test_a_plan_of_a_recipe_reads_how_much_text_its_sources_hold_and_warns_of_many_passes(ropewalk, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("The rope is laid on the walk. " * 400)
    sources = "".join(f"- {{path: {name}, licence: MIT}}\n" for name in ("one", "two"))
    (tmp_path / "notes.yaml").write_text(f"name: notes\nsources:\n{sources}".replace("path: ", f"path: {tmp_path}/"))
    code, out, _ = ropewalk("plan", str(tmp_path / "notes.yaml"), "--size", "nano", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["quote"]["epochs"] > 100  # 24 kB
    code, out, err = ropewalk("plan", str(tmp_path / "notes.yaml"), "--hours", "2")
    assert code == 0
    assert "0 times the data" in out
    assert "e+" not in out
    assert "teaches little" in " ".join(err.split())


def test_sizes_are_compared_in_bits_per_byte_prices_have_cents_and_tokens_their_unit(ropewalk):
    code, out, _ = ropewalk("plan", "--budget", "4.43", "--gpu", "h100")
    assert code == 0
    chosen, others = out.split("other sizes")
    assert "nats per token" in chosen
    assert "bits per byte" in others
    assert "loss" not in others.split("add to")[0]
    assert re.search(r"\$\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)", chosen)
    assert re.search(r"a month of answering as much as [\d,]+ tokens", chosen)


def test_a_budget_beyond_the_longest_plan_gives_the_longest_plan(ropewalk):
    code, out, _ = ropewalk("plan", "--hours", "1000000", "--size", "tiny", "--json")
    assert (code, json.loads(out)["plan"]["total_steps"] > 99_000_000) == (0, True)
