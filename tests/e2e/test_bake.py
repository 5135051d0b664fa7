"""A task baked into an imported model with the command that a user types, followed to its end, and what it cost."""

import json
from pathlib import Path

import pytest
from parts.small_engines import a_llama, an_export

from ropewalk.usecases.folder import RECORDS, TASK, write_task_folder

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.embedded("the base model is imported from a folder of this machine"),
]
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|endoftext|>{% endfor %}assistant: "
TOPICS = ("order", "invoice", "other")


@pytest.fixture
def base(stack, tmp_path: Path) -> str:
    """The name of a model so small and random that it learns nothing in seconds."""
    model = a_llama()
    model.config.max_position_embeddings = 1024  # no rotation depends on it
    folder = an_export(tmp_path / "base", model)
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    done = stack.ropewalk("models", "import", f"hf:{folder}", "--name", "mini", "--licence", "mit", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return "mini"


@pytest.fixture
def task(tmp_path: Path, base: str) -> Path:
    folder = tmp_path / "sorting"
    write_task_folder(folder, "sorting")
    examples = [
        {"input": f"{number}: my {topic}", "output": {"topic": topic, "urgent": number % 2 == 0}}
        for number, topic in ((number, TOPICS[number % 3]) for number in range(60))
    ]
    (folder / RECORDS).write_text("".join(json.dumps(example) + "\n" for example in examples))
    text = (folder / TASK).read_text().replace('base_model: ""', f"base_model: {base}")
    text = (
        text.replace("minutes: 5", "minutes: 0.1")
        .replace("tokens: 256", "tokens: 8")
        .replace("total_steps: 120", "total_steps: 10")
    )
    (folder / TASK).write_text(text)
    return folder


def test_a_task_is_baked_into_an_imported_model_followed_to_its_end_and_priced(stack, task) -> None:
    done = stack.ropewalk("bake", str(task), "--curve", "--follow", timeout=stack.deadline_s)
    assert "run.completed" in done.stdout, done.stdout[-3000:] + done.stderr
    assert done.returncode == 1  # the gate lets nobody through who answers at random
    run_id = done.stdout.splitlines()[0]
    compared = stack.ropewalk("cost", "compare", run_id, "--json")
    assert compared.returncode == 0, compared.stderr
    told = json.loads(compared.stdout)
    taken = told["measured"]
    assert taken["now"]["prompt_tokens"]["value"] > 3 * taken["after"]["prompt_tokens"]["value"]
    assert told["recorded"]["usd_by_stage"]["train"] > 0
    assert told["recorded"]["account"]["wall_s"] > 0
    judged = {run["run_id"]: run for run in stack.json("runs", "--status", "judged")["runs"]}
    assert set(judged) == {f"{run_id}-25", f"{run_id}-50"}
    assert all("promotion.promote false" in run["detail"] for run in judged.values())
    card = json.loads(stack.ropewalk("report", run_id, "--json", "--into", str(task.parent)).stdout)
    assert card["more_examples"].startswith("from ")  # all three points are there
