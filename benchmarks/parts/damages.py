"""Kinds of damage that a folder with checkpoints can take, each a function of the folder and of chance.

A `Site` is a store as a local folder: two runs whose checkpoints continue each other. For a bucket the damaged folder
is uploaded. Whoever finds damage has only what the log says of each checkpoint: its id, its place, its manifest hash.
"""

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ropewalk.corpus.ledger import LEDGER, LedgerRow, encode_ledger
from ropewalk.storage.local import LocalObjects
from ropewalk.storage.manifest import MANIFEST, seal

STEPS = (10, 20, 30, 40)
FILES = ("config.json", "model.safetensors", "optimizer.safetensors", "state.json", LEDGER, MANIFEST)


@dataclass(frozen=True)
class Site:
    """The checkpoint to be damaged, and the store that it lies in."""

    store: Path
    step: int
    rng: random.Random

    def folder(self, step: int = 0, run: str = "r") -> Path:
        """Of a checkpoint; of the one to be damaged by default."""
        return self.store / f"runs/{run}/checkpoints/1-{step or self.step}"

    @property
    def other(self) -> Path:
        """Another checkpoint of the run: the one before, of the first the one after."""
        place = STEPS.index(self.step)
        return self.folder(STEPS[place - 1] if place else STEPS[1])


def write_files(folder: Path, run: str, step: int) -> None:
    """The files of a checkpoint, as different from those of others as real ones are."""
    folder.mkdir(parents=True)
    rng = random.Random(f"{run}/{step}")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(rng.randbytes(3000))
    (folder / "optimizer.safetensors").write_bytes(rng.randbytes(4000))
    (folder / "state.json").write_text(json.dumps({"format": 1, "step": step}))
    (folder / LEDGER).write_bytes(encode_ledger(LedgerRow(place, (1, 2)) for place in range(step - 10, step)))


def meta_of(run: str, step: int, parent_sha256: str) -> dict[str, object]:
    """As the publisher writes it."""
    parent = f"{run}-1-{step - 10}" if step > STEPS[0] else ""
    identity = {"run_id": run, "epoch": 1, "step": step, "checkpoint_id": f"{run}-1-{step}"}
    return identity | {"parent_id": parent, "parent_sha256": parent_sha256, "loss": 1.0, "tokens": step}


def build(store: Path) -> dict[str, str]:
    """A sound store; returns the manifest hash of every checkpoint of run `r`."""
    objects, known = LocalObjects(store), {}
    for run in ("r", "other"):
        sha256 = ""
        for step in STEPS:
            write_files(store.parent / "new", run, step)
            meta = meta_of(run, step, sha256)
            sha256 = objects.publish(store.parent / "new", f"runs/{run}/checkpoints/1-{step}", meta).sha256  # type: ignore[arg-type]
            known[f"{run}-1-{step}"] = sha256
    return {name: sha256 for name, sha256 in known.items() if name.startswith("r-")}


def _rewritten(site: Site, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    path = site.folder() / MANIFEST
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content, sort_keys=True, indent=1))


def _resealed(site: Site) -> None:
    """A forgery that agrees with itself: the manifest of the damaged files, with all that the old one said."""
    meta = json.loads((site.folder() / MANIFEST).read_bytes())["meta"]
    seal(site.folder(), meta)


def flip_bit(site: Site, file: str) -> None:
    path = site.folder() / file
    body = bytearray(path.read_bytes())
    body[site.rng.randrange(len(body))] ^= 1 << site.rng.randrange(8)
    path.write_bytes(bytes(body))


def zero_a_stretch(site: Site, file: str) -> None:
    path = site.folder() / file
    body = bytearray(path.read_bytes())
    start = site.rng.randrange(len(body) - 4)
    body[start : start + 4] = b"\0\0\0\0"
    path.write_bytes(bytes(body))


def truncate(site: Site, file: str) -> None:
    path = site.folder() / file
    os.truncate(path, site.rng.randrange(path.stat().st_size))


def empty(site: Site, file: str) -> None:
    os.truncate(site.folder() / file, 0)


def grow(site: Site, file: str) -> None:
    with (site.folder() / file).open("ab") as out:
        out.write(site.rng.randbytes(7))


def remove(site: Site, file: str) -> None:
    (site.folder() / file).unlink()


def take_anothers(site: Site, file: str) -> None:
    """The file of another checkpoint; a manifest so is an older one over newer files."""
    source = site.other if (site.other / file).read_bytes() != (site.folder() / file).read_bytes() else None
    source = source or site.folder(run="other")
    body = (source / file).read_bytes()
    (site.folder() / file).write_bytes(body if body != (site.folder() / file).read_bytes() else body + b" ")


def forge(site: Site, file: str) -> None:
    flip_bit(site, file)
    _resealed(site)


def forge_with_anothers(site: Site, file: str) -> None:
    """State, optimizer or weights of another step, under a manifest that says they belong here."""
    take_anothers(site, file)
    _resealed(site)


def link(site: Site, file: str) -> None:
    path = site.folder() / file
    kept = site.store.parent / f"linked-{file}"
    shutil.copyfile(path, kept)
    path.unlink()
    path.symlink_to(kept)


def link_to_nowhere(site: Site, file: str) -> None:
    (site.folder() / file).unlink()
    (site.folder() / file).symlink_to("nowhere")


def make_folder(site: Site, file: str) -> None:
    (site.folder() / file).unlink()
    (site.folder() / file).mkdir()


def forbid(site: Site, file: str) -> None:
    (site.folder() / file).chmod(0)


BY_FILE = (
    flip_bit,
    zero_a_stretch,
    truncate,
    empty,
    grow,
    remove,
    take_anothers,
    forge,
    forge_with_anothers,
    link,
    link_to_nowhere,
    make_folder,
    forbid,
)
FORGERIES = (forge, forge_with_anothers)
"""Where the log announced nothing, a forgery of this kind cannot be told from the original."""


def add_file(site: Site) -> None:
    (site.folder() / f"note-{site.rng.randrange(99)}.txt").write_text("mine")


def add_adapter(site: Site) -> None:
    """transformers would load it and change the weights."""
    (site.folder() / "adapter_config.json").write_text('{"peft_type": "LORA"}')


def anothers_folder(site: Site) -> None:
    shutil.rmtree(site.folder())
    shutil.copytree(site.other, site.folder())


def another_runs_folder(site: Site) -> None:
    shutil.rmtree(site.folder())
    shutil.copytree(site.folder(run="other"), site.folder())


def another_runs_folder_renamed(site: Site) -> None:
    """Whole, of another run, and it says that it belongs here."""
    another_runs_folder(site)
    _rewritten(site, lambda body: body["meta"].update(meta_of("r", site.step, body["meta"]["parent_sha256"])))


def swap_two(site: Site) -> None:
    aside = site.store / "aside"
    site.folder().rename(aside)
    site.other.rename(site.folder())
    aside.rename(site.other)


def link_to_another(site: Site) -> None:
    shutil.rmtree(site.folder())
    site.folder().symlink_to(site.other)


def half_delete(site: Site) -> None:
    names = sorted(FILES)
    site.rng.shuffle(names)
    for name in names[: site.rng.randrange(1, len(names))]:
        (site.folder() / name).unlink()


def delete_all(site: Site) -> None:
    shutil.rmtree(site.folder())


def delete_files(site: Site) -> None:
    for name in FILES:
        (site.folder() / name).unlink()


def become_a_file(site: Site) -> None:
    shutil.rmtree(site.folder())
    site.folder().write_text("a file")


def forbid_folder(site: Site) -> None:
    site.folder().chmod(0)


def deep_manifest(site: Site) -> None:
    (site.folder() / MANIFEST).write_text('{"files":' + "[" * 200_000 + "]" * 200_000 + "}")


def huge_manifest(site: Site) -> None:
    with (site.folder() / MANIFEST).open("ab") as out:
        out.truncate(65 << 20)


def repeat_a_name(site: Site) -> None:
    path = site.folder() / MANIFEST
    text = path.read_text()
    path.write_text(text.replace('"files":', '"files": {}, "files":', 1))


def lead_outside(site: Site) -> None:
    name = site.rng.choice(("../1-10/config.json", "/etc/passwd"))
    _rewritten(site, lambda body: body["files"].update({name: next(iter(body["files"].values()))}))


def promise_nothing(site: Site) -> None:
    _rewritten(site, lambda body: body.update(files={}))


def promise_less(site: Site) -> None:
    _rewritten(site, lambda body: body["files"].pop(site.rng.choice(FILES[:-1])))


def spoil_a_size(site: Site) -> None:
    bad = site.rng.choice((-1, "9", None, True, 1e3, [1]))
    _rewritten(site, lambda body: body["files"]["state.json"].update(num_bytes=bad))


def spoil_meta(site: Site) -> None:
    key, value = site.rng.choice((("step", 999), ("run_id", "other"), ("parent_id", ""), ("loss", 0.0), ("epoch", "1")))
    _rewritten(site, lambda body: body["meta"].update({key: value}))


BY_FOLDER = (
    add_file,
    add_adapter,
    anothers_folder,
    another_runs_folder,
    another_runs_folder_renamed,
    swap_two,
    link_to_another,
    half_delete,
    delete_all,
    delete_files,
    become_a_file,
    forbid_folder,
    deep_manifest,
    huge_manifest,
    repeat_a_name,
    lead_outside,
    promise_nothing,
    promise_less,
    spoil_a_size,
    spoil_meta,
)
NEEDS_LOG = (another_runs_folder_renamed, swap_two, delete_all, delete_files, spoil_meta, *FORGERIES)
"""Of these only the log knows: not asked where it announced nothing."""
ONLY_LOCAL = (
    link,
    link_to_nowhere,
    make_folder,
    forbid,
    link_to_another,
    become_a_file,
    forbid_folder,
    huge_manifest,
)
"""A bucket has no links, folders or rights of that kind, and 65 MB in memory for each case help nobody."""
