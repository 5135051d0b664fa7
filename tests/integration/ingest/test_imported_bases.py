"""A recipe that names an imported model is frozen with that model's content."""

from pathlib import Path

from ropewalk.delivery.outcome import Done
from ropewalk.events.run import RunAccepted, RunRejected, SubmitRun
from ropewalk.ingest.handlers import submit_run
from ropewalk.ingest.settings import Settings
from ropewalk.recipes.bases import Base, list_bases
from ropewalk.storage.objects import ObjectStore


def publish(objects: ObjectStore, folder: Path, content: str, **fields: object) -> Base:
    base = Base(
        content=content * 64,
        name="smol",
        source="gguf:smol.gguf",
        licence="apache-2.0",
        family="llama",
        num_parameters=1,
        context_length=8192,
        has_template=False,
        imported_at=f"2026-11-27T0{content}:00:00+00:00",
        certificate={},
    ).model_copy(update=fields)
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    objects.publish(folder, base.key, base.model_dump(mode="json", exclude={"content"}))
    return base


def a_recipe(folder: Path, **fields: object) -> dict[str, object]:
    texts = folder / "texts"
    texts.mkdir(exist_ok=True)
    for number in range(4):
        (texts / f"{number}.txt").write_text(f"a text about the number {number}\n" * 20)
    source = {"path": str(texts), "licence": "MIT"}
    return {"sources": [source], "size": "tiny", "minutes": 1, "mode": "finetune", "base_model": "smol", **fields}


async def test_a_name_means_the_newest_import_and_the_accepted_recipe_says_which(bus, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ROPEWALK_OBJECTS_URL", f"file://{tmp_path}/store")
    settings = Settings()
    objects = settings.store.connect()
    first = publish(objects, tmp_path / "a", "1")
    request = SubmitRun(run_id="named", recipe=a_recipe(tmp_path))
    outcome = await submit_run(request, bus, settings)
    assert isinstance(outcome, Done)
    (accepted,) = outcome.messages
    assert isinstance(accepted, RunAccepted), accepted
    assert accepted.recipe["base_model"] == first.full_name
    assert accepted.base_licence == "apache-2.0"

    second = publish(objects, tmp_path / "b", "2")
    assert list_bases(objects) == [first, second]
    await bus.publish_all(outcome.messages, cause_id="named")
    assert await submit_run(request, bus, settings) == Done()  # the same request again still means the first
    newer = await submit_run(SubmitRun(run_id="newer", recipe=a_recipe(tmp_path)), bus, settings)
    assert newer.messages[0].recipe["base_model"] == second.full_name


async def test_a_name_is_refused_where_nothing_fits_it(bus, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ROPEWALK_OBJECTS_URL", f"file://{tmp_path}/store")
    settings = Settings()
    objects = settings.store.connect()
    publish(objects, tmp_path / "a", "1")
    publish(objects, tmp_path / "b", "2", name="short", context_length=16)
    chats = [{"path": str(tmp_path / "chats.jsonl"), "licence": "MIT", "format": "chat"}]
    (tmp_path / "chats.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}]}\n')
    for run_id, fields, reason in (
        ("unknown", {"base_model": "gpt2"}, "no imported model of that name"),
        ("untemplated", {"sources": chats}, "no chat template"),
        ("short", {"base_model": "short"}, "at most 16 tokens"),
    ):
        outcome = await submit_run(SubmitRun(run_id=run_id, recipe=a_recipe(tmp_path, **fields)), bus, settings)
        assert isinstance(outcome.messages[0], RunRejected)
        assert reason in " ".join(outcome.messages[0].violations)
