"""Importing a base model: what is taken, and what is refused with which reason."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from parts.small_engines import a_llama, a_qwen3, an_export
from transformers import AutoModelForCausalLM, AutoTokenizer

from ropewalk.client.bases import needed_by, publish_base, remove_base
from ropewalk.client.errors import ClientError
from ropewalk.client.importing import ComparedModel, ImportWork, read_and_compare
from ropewalk.client.models import ModelVersion
from ropewalk.events.run import RunAccepted
from ropewalk.model.importing.errors import RefusedError
from ropewalk.model.importing.gguf_file import read_gguf_facts
from ropewalk.model.importing.gguf_writing import write_gguf
from ropewalk.model.importing.source import parse_source
from ropewalk.recipes.bases import find_base
from ropewalk.storage.local import LocalObjects

TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
FAMILIES = {"llama": a_llama, "qwen3": a_qwen3}


def a_folder(place: Path, family: str = "llama", *, licence: str = "mit") -> Path:
    an_export(place, FAMILIES[family]())
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "chat_template": TEMPLATE}
    (place / "tokenizer_config.json").write_text(json.dumps(named))
    if licence:
        (place / "README.md").write_text(f"---\nlicense: {licence}\n---\n# A model\n")
    return place


def changed(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps(config | fields))


def imported(source: str, target: Path, **wanted: object) -> ComparedModel | RefusedError:
    work = ImportWork(source=parse_source(source), licence="", target=target)
    try:
        return read_and_compare(ImportWork(**{**vars(work), **wanted}), lambda _: None)
    except RefusedError as reason:
        return reason


def a_run(base_model: str, **recipe: str) -> RunAccepted:
    return RunAccepted(run_id="r", recipe={"base_model": base_model, **recipe}, recipe_sha256="0" * 64)


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    return a_folder(tmp_path_factory.mktemp("llama") / "model")


@pytest.fixture
def folder(llama, tmp_path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(llama, tmp_path / "spoilt"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_is_taken_with_a_certificate_of_equal_greedy_tokens(family, tmp_path) -> None:
    found = imported(f"hf:{a_folder(tmp_path / family, family)}", tmp_path / "taken")
    assert isinstance(found, ComparedModel), found
    assert found.certificate["num_equal"] + found.certificate["num_ties"] == found.certificate["num_prompts"] == 64
    assert found.certificate["num_tokens"] > 64
    assert (found.written.family, found.written.licence, found.written.has_template) == (family, "mit", True)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_in_gguf_comes_back_as_the_same_model(family, tmp_path) -> None:
    file, folder = tmp_path / "model.gguf", a_folder(tmp_path / family, family)
    write_gguf(folder, file, name="tiny", licence="mit", eight_bits=False)
    found = imported(f"gguf:{file}", tmp_path / "taken")
    assert isinstance(found, ComparedModel), found
    assert found.written.licence == "mit"
    tokenizers = [AutoTokenizer.from_pretrained(place) for place in (folder, tmp_path / "taken")]
    chats = [each.apply_chat_template([{"role": "user", "content": "f(x) = 12"}])["input_ids"] for each in tokenizers]
    assert chats[0] == chats[1]
    ours, theirs = (AutoModelForCausalLM.from_pretrained(place) for place in (folder, tmp_path / "taken"))
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name
    prompt = {"input_ids": torch.tensor([chats[0]]), "max_new_tokens": 16, "do_sample": False, "pad_token_id": 0}
    assert torch.equal(ours.generate(**prompt), theirs.generate(**prompt))


def test_eight_bits_take_a_third_of_the_room(llama, tmp_path) -> None:
    for bits, name in ((False, "whole"), (True, "small")):
        write_gguf(llama, tmp_path / f"{name}.gguf", name="tiny", licence="mit", eight_bits=bits)
    assert (tmp_path / "small.gguf").stat().st_size < 0.4 * (tmp_path / "whole.gguf").stat().st_size
    small, whole = (read_gguf_facts(tmp_path / f"{name}.gguf") for name in ("small", "whole"))
    assert small == whole


def test_what_would_not_be_computed_faithfully_is_refused_with_the_reason(folder, tmp_path) -> None:
    whole = json.loads((folder / "config.json").read_bytes())
    for fields, reason in (
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, "rope"),
        ({"model_type": "mistral", "sliding_window": 64}, "sliding"),
        ({"model_type": "gpt2"}, "gpt2"),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
        ({"eos_token_id": None}, "eos_token_id"),
    ):
        (folder / "config.json").write_text(json.dumps(whole))
        if fields == {"eos_token_id": None}:
            (folder / "generation_config.json").unlink()
        changed(folder, **fields)
        found = imported(f"hf:{folder}", tmp_path / str(len(list(tmp_path.iterdir()))))
        assert isinstance(found, RefusedError), fields
        assert reason in str(found)


def test_a_tokenizer_that_names_no_end_is_refused_before_a_run_meets_it(folder, tmp_path) -> None:
    named = json.loads((folder / "tokenizer_config.json").read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps(named | {"eos_token": None}))
    assert "names no eos_token" in str(imported(f"hf:{folder}", tmp_path / "taken"))


def test_pickled_weights_are_not_loaded(folder, tmp_path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"model.norm.weight": torch.ones(1)}, folder / "pytorch_model.bin")
    assert "pickled" in str(imported(f"hf:{folder}", tmp_path / "taken"))


def test_weights_that_miss_a_tensor_are_refused(folder, tmp_path) -> None:
    changed(folder, num_hidden_layers=3)
    assert "missing" in str(imported(f"hf:{folder}", tmp_path / "taken"))


def test_an_adapter_is_sent_to_its_base(tmp_path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"base_model_name_or_path": "org/m"}')
    assert "adapter for 'org/m'" in str(imported(f"hf:{tmp_path / 'adapter'}", tmp_path / "taken"))


def test_somebody_must_say_the_licence_and_not_two_say_different_ones(folder, tmp_path) -> None:
    assert "declares the licence 'mit'" in str(imported(f"hf:{folder}", tmp_path / "a", licence="apache-2.0"))
    (folder / "README.md").unlink()
    assert "--licence" in str(imported(f"hf:{folder}", tmp_path / "b"))


@pytest.mark.parametrize("kept", [3, 500, 0.5, 0.99])
def test_a_torn_gguf_file_is_refused(llama, tmp_path, kept) -> None:
    write_gguf(llama, tmp_path / "whole.gguf", name="tiny", licence="mit", eight_bits=False)
    whole = (tmp_path / "whole.gguf").read_bytes()
    (tmp_path / "torn.gguf").write_bytes(whole[: int(kept * len(whole)) if kept < 1 else kept])
    with pytest.raises(RefusedError, match=r"damaged|copy it again"):
        read_gguf_facts(tmp_path / "torn.gguf")


@pytest.mark.parametrize("source", ["", "model", "s3:x", "gguf:/nowhere.gguf", "hf:/nowhere", "hf:gpt2"])
def test_a_source_that_is_none_is_answered_with_the_forms(source) -> None:
    with pytest.raises(RefusedError, match="write gguf:FILE, hf:FOLDER or hf:org/name"):
        parse_source(source)


def test_the_same_content_again_changes_nothing_and_a_model_in_use_stays(llama, tmp_path) -> None:
    objects = LocalObjects(tmp_path / "store")
    work = ImportWork(source=parse_source(f"hf:{llama}"), licence="", target=tmp_path / "first")
    found = read_and_compare(work, lambda _: None)
    first = publish_base(objects, work, found, "tiny")
    assert first.is_new
    assert find_base(objects, "tiny") == first.base
    again = ImportWork(**{**vars(work), "target": tmp_path / "again", "known": frozenset({first.base.content})})
    second = publish_base(objects, again, read_and_compare(again, lambda _: None), "tiny")
    assert second.base == first.base
    assert not second.is_new
    with pytest.raises(ClientError, match="imported as tiny"):
        publish_base(objects, again, found, "other")

    runs = {
        "live": a_run(first.base.full_name),
        "adapted": a_run(first.base.full_name, adapter="lora"),
        "other": a_run("org/name"),
    }
    version = ModelVersion(
        model="m", version=1, run_id="adapted", checkpoint_id="c", export_uri="", answers=True, names=()
    )
    needed = needed_by(first.base, runs, ["live", "other"], [version])
    assert needed == ["run live", "m@1"]
    with pytest.raises(ClientError, match="needed by run live, m@1"):
        remove_base(objects, first.base, needed)
    remove_base(objects, first.base, [])
    assert find_base(objects, "tiny") is None
