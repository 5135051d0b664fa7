"""One suite over every object store: the local folder and a bucket (obstore's in-memory one speaks its protocol).

The slow tests ask the same of a server over HTTP: moto, an emulator of S3, if its `moto_server` is there.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore

from ropewalk.storage.local import LocalObjects
from ropewalk.storage.manifest import MANIFEST, ManifestError, parse_manifest, verify
from ropewalk.storage.objects import ObjectNotFoundError, ObjectStore
from ropewalk.storage.remote import RemoteObjects

Folder = Callable[..., Path]


BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
MOTO = os.environ.get("ROPEWALK_BENCH_MOTO") or shutil.which("moto_server")


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Any]]:
    """Opens the one bucket of a server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        from parts.s3_server import running_s3

        with running_s3(tmp_path_factory.mktemp("s3")) as (_, opened):
            yield opened


NO_SERVER = pytest.mark.skipif(MOTO is None, reason="no moto_server: pip install 'moto[s3,server]'")


@pytest.fixture(params=["local", "bucket", pytest.param("server", marks=(pytest.mark.slow, NO_SERVER))])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return LocalObjects(tmp_path / "store")
    if request.param == "server":
        bucket = request.getfixturevalue("s3_server")()
        for page in obstore.list(bucket):
            obstore.delete(bucket, [item["path"] for item in page])
        return RemoteObjects(bucket, cache=tmp_path / "cache")
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


@pytest.fixture
def bucket(tmp_path: Path) -> tuple[MemoryStore, RemoteObjects]:
    store = MemoryStore()
    return store, RemoteObjects(store, cache=tmp_path / "cache")


def test_a_damaged_copy_in_the_cache_does_not_condemn_the_original(
    bucket: tuple[MemoryStore, RemoteObjects], folder: Folder
) -> None:
    _, objects = bucket
    sealed = objects.publish(folder(a="alpha"), "things/one", {})
    (objects.fetch("things/one") / "sub" / "a").write_text("alphA")
    assert objects.inspect("things/one") == sealed
    assert (objects.fetch("things/one") / "sub" / "a").read_text() == "alpha"


def test_a_sound_copy_in_the_cache_does_not_hide_damage_to_the_original(
    bucket: tuple[MemoryStore, RemoteObjects], folder: Folder
) -> None:
    store, objects = bucket
    objects.publish(folder(a="alpha"), "things/one", {})
    objects.fetch("things/one")
    obstore.put(store, "things/one/sub/a", b"alphA")
    with pytest.raises(ManifestError, match="sub/a"):
        objects.inspect("things/one")


def test_what_was_replaced_in_the_bucket_is_fetched_anew(
    bucket: tuple[MemoryStore, RemoteObjects], folder: Folder, tmp_path: Path
) -> None:
    store, objects = bucket
    objects.publish(folder(a="alpha"), "things/one", {})
    objects.fetch("things/one")
    elsewhere = RemoteObjects(store, cache=tmp_path / "another-host")
    elsewhere.delete("things/one")
    elsewhere.publish(folder(a="omega"), "things/one", {})
    assert (objects.fetch("things/one") / "sub" / "a").read_text() == "omega"


def test_a_folder_without_manifest_is_a_fragment_and_what_is_complete_is_none(
    objects: ObjectStore, folder: Folder
) -> None:
    objects.publish(folder(a="alpha"), "things/one", {})
    objects.publish(folder(a="alpha"), "things/two", {})
    if isinstance(objects, LocalObjects):
        (objects.fetch("things/two") / MANIFEST).unlink()
    else:
        obstore.delete(objects._bucket, f"things/two/{MANIFEST}")
    assert objects.fragments("things") == ["things/two"]
    with pytest.raises(ManifestError, match="never completed"):
        objects.inspect("things/two")
    with pytest.raises(ObjectNotFoundError):
        objects.inspect("things/three")


def test_publishing_over_a_damaged_folder_puts_the_whole_one_there(objects: ObjectStore, folder: Folder) -> None:
    sealed = objects.publish(folder(a="alpha"), "things/one", {})
    if isinstance(objects, LocalObjects):
        (objects.fetch("things/one") / "sub" / "a").write_text("alphA")
    else:
        obstore.put(objects._bucket, "things/one/sub/a", b"alphA")
    assert objects.publish(folder(a="alpha"), "things/one", {}) == sealed
    assert objects.inspect("things/one") == sealed


def test_who_comes_second_with_the_same_files_is_told_the_manifest_that_is_there(
    objects: ObjectStore, folder: Folder
) -> None:
    first = objects.publish(folder(a="alpha"), "things/one", {"attempt": 1})
    assert objects.publish(folder(a="alpha"), "things/one", {"attempt": 2}) == first


def test_a_link_is_moved_and_deleted_itself_and_not_what_it_leads_to(tmp_path: Path, folder: Folder) -> None:
    objects = LocalObjects(tmp_path / "store")
    objects.publish(folder(a="alpha"), "things/one", {})
    for name in ("two", "three"):
        (objects.root / "things" / name).symlink_to(objects.root / "things" / "one")
    assert objects.list("things") == ["things/one"]
    objects.move("things/two", "quarantine/two")
    objects.delete("things/three")
    assert verify(objects.fetch("things/one")).files


@pytest.mark.parametrize(
    "body",
    [
        '{"files": {"/etc/passwd": {"sha256": "%s", "num_bytes": 1}}, "meta": {}}',
        '{"files": {"../a": {"sha256": "%s", "num_bytes": 1}}, "meta": {}}',
        '{"files": {"a": {"sha256": "%s", "num_bytes": true}}, "meta": {}}',
        '{"files": {"a": {"sha256": "%.4s", "num_bytes": 1}}, "meta": {}}',
        '{"files": {}, "files": {"a": {"sha256": "%s", "num_bytes": 1}}, "meta": {}}',
        '{"files": {}, "meta": []}',
        "[" * 100_000,
        "null",
    ],
)
def test_a_manifest_that_nobody_seals_so_is_refused(body: str) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        parse_manifest((body % ("0" * 64) if "%" in body else body).encode())
