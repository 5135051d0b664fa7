import math
import os

import pytest

from ropewalk.recipes.builtin import BUILTIN, load_recipe, resolve_recipe
from ropewalk.recipes.device_table import device_kind
from ropewalk.recipes.dial import complete
from ropewalk.recipes.recipe import RecipeError, parse_recipe

A_PLAN = resolve_recipe({"base": "python-stdlib"}).derived.model_dump()
SOURCE = {"path": "/data", "licence": "MIT"}


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_a_built_in_recipe_is_complete_and_travels_as_json(name: str) -> None:
    recipe = resolve_recipe({"base": name})
    assert recipe.derived.total_steps > recipe.derived.decay_start > recipe.derived.warmup_steps
    assert parse_recipe(recipe.as_json()) == recipe


def test_the_identity_follows_the_content() -> None:
    first = resolve_recipe({"base": "python-stdlib"})
    assert resolve_recipe({"base": "python-stdlib"}).sha256() == first.sha256()
    assert resolve_recipe({"base": "python-stdlib", "seed": 18}).sha256() != first.sha256()


def test_the_budget_sets_the_steps_and_an_accepted_plan_stays() -> None:
    short = resolve_recipe({"base": "python-stdlib", "minutes": 1})
    long = resolve_recipe({"base": "python-stdlib", "minutes": 10})
    assert long.derived.total_steps == 10 * short.derived.total_steps
    assert complete(short.model_copy(update={"minutes": 99.0})).derived == short.derived


@pytest.mark.parametrize(
    ("given", "device", "precision", "num_gpus", "usd_per_gpu_hour"),
    [
        ({}, "cpu", "fp32", 0, 0.0),
        ({"device": "cpu", "precision": "fp32"}, "cpu", "fp32", 0, 0.0),
        ({"device": "cuda"}, "cuda", "bf16", 2, device_kind("").usd_per_hour),
        (
            {"device": "cuda", "precision": "fp8", "gpu_kind": "h200"},
            "cuda",
            "fp8",
            2,
            device_kind("h200").usd_per_hour,
        ),
        ({"device": "cuda", "gpu_kind": "tomorrows"}, "cuda", "bf16", 2, device_kind("").usd_per_hour),
    ],
)
def test_device_and_precision_are_derived_where_they_are_left_out(
    given: dict, device: str, precision: str, num_gpus: int, usd_per_gpu_hour: float
) -> None:
    recipe = resolve_recipe({"base": "python-stdlib", **given})
    plan, needs = recipe.derived, recipe.training_needs
    assert (plan.device, plan.precision, plan.usd_per_gpu_hour) == (device, precision, usd_per_gpu_hour)
    assert (needs.cpus, needs.gpus, needs.gpu_kind) == (2, num_gpus, given.get("gpu_kind", ""))


def test_a_plan_from_before_devices_is_read_as_one_for_the_cpu() -> None:
    old = {name: value for name, value in A_PLAN.items() if name not in ("device", "precision", "usd_per_gpu_hour")}
    assert resolve_recipe({"base": "python-stdlib", "plan": old}).derived.model_dump() == A_PLAN


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"sources": [SOURCE], "precision": "fp8"}, "precision is 'fp8' but device is 'auto': set device to 'cuda'"),
        (
            {"sources": [SOURCE], "strategy": "zero3", "offload": True},
            "offload is true but strategy is 'zero3' on 'auto'",
        ),
        ({"sources": [SOURCE], "replicas": 2}, "replicas is 2 but strategy is 'auto': set strategy to 'fsdp'"),
        (
            {"sources": [SOURCE], "strategy": "fsdp", "replicas": 2, "num_workers": 3},
            "replicas is 2, which does not divide num_workers 3: set num_workers to a multiple of 2",
        ),
        ({"sources": [SOURCE], "device": "cpu", "gpu_kind": "l4"}, "gpu_kind is 'l4' but device is 'cpu'"),
        ({"sources": [SOURCE], "device": "tpu"}, "field 'device' has the value 'tpu'"),
        ({"sources": [SOURCE], "learning_rate": 1}, "unknown field 'learning_rate' (value 1): remove it"),
        ({}, "field 'sources' is missing"),
        ({"sources": [{"path": "/data"}]}, "field 'sources.0.licence' is missing"),
        ({"sources": [SOURCE], "minutes": "soon"}, "field 'minutes' has the value 'soon'"),
        ({"sources": [SOURCE], "minutes": 0}, "field 'minutes' has the value 0"),
        ({"sources": [SOURCE], "mode": "finetune"}, "base_model is empty"),
        ({"base": "cobol"}, "the built-in recipes are"),
        ({"sources": [{**SOURCE, "pat": 1}]}, "did you mean 'path'? sources.0 has the fields epochs, exclude"),
        ({"sources": [{"path": "/d", "licens": "MIT"}]}, "did you mean 'licence'?"),
        ({"sources": ["/data"]}, "field 'sources.0.licence' is missing: say under which licence"),
        ({"sources": [{**SOURCE, "include": 7}]}, "field 'sources.0.include' has the value 7"),
        ({"sources": [SOURCE], "license": "MIT"}, "unknown field 'license' (value 'MIT'): it belongs to 'sources';"),
        ({"base": "python-stdlib", "plan": {**A_PLAN, "num_layers": -5}}, "field 'plan.num_layers' has the value -5"),
        ({"base": "python-stdlib", "plan": {**A_PLAN, "num_heads": 0}}, "field 'plan.num_heads' has the value 0"),
        ({"base": "python-stdlib", "plan": {**A_PLAN, "hidden_size": 10**9}}, "field 'plan.hidden_size' has the value"),
        (
            {"base": "python-stdlib", "plan": {**A_PLAN, "matrix_lr": math.nan}},
            "field 'plan.matrix_lr' has the value nan",
        ),
        (
            {"base": "python-stdlib", "plan": {**A_PLAN, "total_steps": 10**15}},
            "field 'plan.total_steps' has the value",
        ),
        ({"base": "python-stdlib", "plan": {**A_PLAN, "usd_per_cpu_hour": -1e300}}, "field 'plan.usd_per_cpu_hour'"),
        ({"base": "python-stdlib", "plan": {**A_PLAN, "num_kv_heads": 3}}, "is no multiple of num_kv_heads 3"),
        ({"sources": "/data"}, "field 'sources.0.licence' is missing"),
        ({"sources": [{"path": "x" * 10**5, "licence": "MIT"}]}, "field 'sources.0.path' has the value 'xxx"),
        ({"sources": [SOURCE], "x" * 10**6: 1}, "the recipe is larger than 128 kB"),
        ({"sources": [SOURCE], "seed": 10**30}, "field 'seed' has the value 1000000000000"),
        ({"sources": [SOURCE], "training": {"sample_prompts": "abc"}}, "has the value 'abc': it is a list of texts"),
        ({"sources": [SOURCE], "training": "fast"}, "'training' has the value 'fast': it is a mapping of fields"),
        ({"base": ["python-stdlib"]}, "the built-in recipes are"),
        ({"base": "python-stdlib", "evaluation": {"margin": -1}}, "field 'evaluation.margin' has the value -1"),
    ],
)
def test_a_bad_recipe_is_refused_with_field_value_and_remedy(fields: dict, sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        resolve_recipe(fields)
    assert any(sentence in violation for violation in caught.value.violations), caught.value.violations


def test_the_american_spelling_and_a_single_source_are_understood() -> None:
    recipe = parse_recipe({"sources": {"path": "/data", "license": "MIT", "include": "*.md"}})
    assert recipe.sources[0].include == ("*.md",)
    assert recipe.sources[0].licence == "MIT"
    assert parse_recipe(recipe.as_json()) == recipe


def test_what_is_said_of_a_recipe_is_bounded_whatever_was_sent() -> None:
    fields = {"sources": [SOURCE], **{f"{number}" * 400: "v" * 10**5 for number in range(1000)}}
    with pytest.raises(RecipeError) as caught:
        parse_recipe(fields)
    assert len(caught.value.violations) == 21
    assert caught.value.violations[-1] == "and 980 more of this kind"
    assert max(len(violation) for violation in caught.value.violations) < 900


def test_a_fault_inside_a_source_is_said_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"sources": [{"path": "/data"}]})
    assert len(caught.value.violations) == 1


def test_all_violations_are_named_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"sources": [SOURCE], "size": "huge", "seed": "x", "foo": 1})
    assert len(caught.value.violations) == 3


def test_a_recipe_file_is_read_and_a_bad_one_named(tmp_path) -> None:
    good = tmp_path / "mine.yaml"
    good.write_text("name: mine\nsources:\n  - {path: /data, licence: MIT}\n")
    assert resolve_recipe(load_recipe(str(good))).name == "mine"
    assert load_recipe("python-stdlib") == {"base": "python-stdlib"}
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: [unclosed")
    with pytest.raises(RecipeError, match="is not a YAML recipe"):
        load_recipe(str(bad))
    bad.write_text("just text")
    with pytest.raises(RecipeError, match="holds a text, not recipe fields"):
        load_recipe(str(bad))
    with pytest.raises(RecipeError, match="neither a file nor a built-in recipe"):
        load_recipe("no-such-recipe")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "line 2: the alias *a is not supported"),
        ("sources: " + "[" * 3000 + "]" * 3000, "line 1: values are nested more than 40 deep"),
        ("- " * 5000 + "x", "line 1: values are nested more than 40 deep"),
        ("{a: " * 200 + "1" + "}" * 200, "values are nested more than 40 deep"),
        ("sources: [" + "x," * 30_000 + "]", "there are more than 20,000 values"),
        ("seed: " + "9" * 100_000, "100,000 characters that begin like a number"),
        ("seed: " + "1:" * 50_000 + "1", "characters that begin like a number"),
        ("name: one\nname: two\n", "the key 'name' stands twice"),
        ("num_workers: 010\n", "YAML reads 010 in another base than ten"),
        ("minutes: 1:30\n", "YAML reads 1:30 in another base than ten"),
        ("on: 1\n", "the key 'on' is no text: quote it"),
        ("? [a, b]\n: 1\n", "is no text: quote it"),
        ("!!binary aGVsbG8=: 1\n", "is no text: quote it"),
        ("name: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        ("name: \x07bell\n", "special characters are not allowed"),
        ("name: a\n---\nname: b\n", "expected a single document"),
        ("- just\n- a list\n", "holds a list, not recipe fields"),
        ("", "holds nothing, not recipe fields"),
        ("x: " + "y" * 300_000, "is larger than 256 kB"),
        ("a: \xff\xfe", ""),
    ],
)
def test_a_hostile_file_is_refused_in_one_sentence_and_at_once(tmp_path, text: str, sentence: str) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    (violation,) = caught.value.violations
    assert sentence in violation
    assert len(violation) < 900
    assert violation.isprintable()


def test_what_is_no_regular_file_is_refused_and_a_pipe_does_not_hang(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecipeError, match="is no regular file"):
        load_recipe(str(tmp_path / "pipe"))
    with pytest.raises(RecipeError, match="`ropewalk init"):
        load_recipe(str(tmp_path))
    with pytest.raises(RecipeError, match="did you mean python-stdlib"):
        load_recipe("python-stdlb")
    with pytest.raises(RecipeError, match="neither a file nor a built-in recipe"):
        load_recipe("x" * 100_000)


def test_the_longest_task_fits_into_a_recipe_beside_its_data_and_a_longer_one_is_told_what_to_shorten():
    longest = {"instruction": "\u6f22" * 32_768, "json_schema": {"description": "x" * 65_000}}
    fields = {"mode": "finetune", "base_model": "/models/base", "sources": [SOURCE], "task": longest}
    assert resolve_recipe(fields).task is not None
    with pytest.raises(RecipeError, match="field 'task' is larger than 256 kB: shorten its instruction"):
        resolve_recipe({**fields, "task": {**longest, "instruction": "x" * 300_000}})
