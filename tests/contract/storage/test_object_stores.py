"""One suite over every object store: the local folder and a bucket (obstore's in-memory one speaks its protocol)."""

from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from ropewalk.storage.local import LocalObjects
from ropewalk.storage.manifest import ManifestError, verify
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore
from ropewalk.storage.remote import RemoteObjects

Folder = Callable[..., Path]


@pytest.fixture(params=["local", "bucket"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return LocalObjects(tmp_path / "store")
    return RemoteObjects(MemoryStore(), cache=tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    def build(**files: str) -> Path:
        target = tmp_path / f"folder-{len(list(tmp_path.iterdir()))}"
        (target / "sub").mkdir(parents=True)
        for name, text in files.items():
            (target / "sub" / name).write_text(text)
        return target

    return build


def test_a_published_folder_is_fetched_whole_with_its_meta(objects: ObjectStore, folder: Folder) -> None:
    published = objects.publish(folder(a="alpha", b="beta"), "things/one", {"step": 3})
    fetched = verify(objects.fetch("things/one"))
    assert fetched == published
    assert fetched.meta == {"step": 3}
    assert (objects.fetch("things/one") / "sub" / "a").read_text() == "alpha"


def test_publishing_consumes_the_folder(objects: ObjectStore, folder: Folder) -> None:
    source = folder(a="alpha")
    objects.publish(source, "things/one", {})
    assert not source.exists()


def test_publishing_the_same_again_changes_nothing(objects: ObjectStore, folder: Folder) -> None:
    first = objects.publish(folder(a="alpha"), "things/one", {})
    assert objects.publish(folder(a="alpha"), "things/one", {}).files == first.files
    assert objects.list("things") == ["things/one"]


def test_another_content_under_the_same_key_is_refused(objects: ObjectStore, folder: Folder) -> None:
    objects.publish(folder(a="alpha"), "things/one", {})
    with pytest.raises(FileExistsError, match="another content"):
        objects.publish(folder(a="omega"), "things/one", {})
    assert (objects.fetch("things/one") / "sub" / "a").read_text() == "alpha"


def test_what_was_never_published_is_not_found(objects: ObjectStore) -> None:
    assert not objects.exists("things/none")
    with pytest.raises(ObjectNotFoundError, match="things/none"):
        objects.fetch("things/none")


def test_list_names_complete_folders_below_a_prefix(objects: ObjectStore, folder: Folder) -> None:
    for name in ("b", "a"):
        objects.publish(folder(a=name), f"things/{name}", {})
    objects.publish(folder(a="x"), "others/x", {})
    assert objects.list("things") == ["things/a", "things/b"]


def test_a_moved_folder_is_found_only_at_its_new_key(objects: ObjectStore, folder: Folder) -> None:
    objects.publish(folder(a="alpha"), "things/one", {})
    objects.move("things/one", "quarantine/one")
    assert not objects.exists("things/one")
    assert verify(objects.fetch("quarantine/one")).files
    with pytest.raises(ObjectNotFoundError):
        objects.move("things/one", "quarantine/two")


def test_a_deleted_folder_is_gone_and_deleting_again_is_no_error(objects: ObjectStore, folder: Folder) -> None:
    objects.publish(folder(a="alpha"), "things/one", {})
    objects.delete("things/one")
    objects.delete("things/one")
    assert not objects.exists("things/one")


def test_local_keys_cannot_leave_the_store(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="outside the store"):
        LocalObjects(tmp_path / "store").exists("../elsewhere")


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest"])
def test_any_damage_to_a_sealed_folder_is_found(tmp_path: Path, folder: Folder, damage: str) -> None:
    objects = LocalObjects(tmp_path / "store")
    objects.publish(folder(a="alpha", b="beta"), "things/one", {})
    path = objects.fetch("things/one") / "sub" / "a"
    match damage:
        case "flip":
            path.write_text("alphA")
        case "truncate":
            path.write_text("alph")
        case "remove":
            path.unlink()
        case "manifest":
            path = path.parent.parent / "manifest.json"
            path.write_text(path.read_text()[:-5])
    with pytest.raises(ManifestError) as caught:
        verify(objects.fetch("things/one"))
    assert caught.value.file == ("manifest.json" if damage == "manifest" else "sub/a")


def test_a_folder_without_manifest_does_not_exist(tmp_path: Path, folder: Folder) -> None:
    objects = LocalObjects(tmp_path / "store")
    objects.publish(folder(a="alpha"), "things/one", {})
    (tmp_path / "store" / "things" / "one" / "manifest.json").unlink()
    assert not objects.exists("things/one")
    objects.publish(folder(a="omega"), "things/one", {})
    assert (objects.fetch("things/one") / "sub" / "a").read_text() == "omega"
