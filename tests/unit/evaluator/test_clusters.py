"""What varies together, by where it comes from."""

from ropewalk.evaluator.domain.clusters import clustered
from ropewalk.evaluator.domain.tasks import Item


def keys(*paths: str, source_id: str = "s", split_key: str = "") -> list[str]:
    items = [Item(path, path, source_id=source_id, split_key=split_key) for path in paths]
    return [item.cluster for item in clustered(items)]


def test_the_files_of_a_package_are_one_cluster() -> None:
    paths = [f"p{package}/sub/f{file}.py" for package in range(20) for file in range(5)]
    assert sorted(set(keys(*paths))) == sorted(f"s/p{package}" for package in range(20))


def test_a_folder_may_be_called_as_a_language_is() -> None:
    paths = [f"C#/p{package}/f{file}.cs" for package in range(12) for file in range(20)]
    assert set(keys(*paths)) == {f"s/C#/p{package}" for package in range(12)}


def test_sources_are_clusters_where_there_are_enough_of_them() -> None:
    items = [Item(f"{n}/{s}", f"lib/f{n}.py", source_id=f"s{s}") for n in range(4) for s in range(12)]
    assert {item.cluster for item in clustered(items)} == {f"s{s}" for s in range(12)}


def test_a_corpus_of_few_packages_is_taken_apart_into_folders_or_files() -> None:
    folders = [f"lib/p{package}/f{file}.py" for package in range(12) for file in range(3)]
    assert set(keys(*folders)) == {f"s/lib/p{package}" for package in range(12)}
    files = [f"p{package}/f{file}.py" for package in range(4) for file in range(5)]
    assert len(set(keys(*files))) == 20


def test_one_folder_with_nearly_everything_beside_loose_files_is_no_cluster() -> None:
    paths = [*(f"loose{number}.py" for number in range(10)), *(f"src/f{number}.py" for number in range(90))]
    assert len(set(keys(*paths))) == 100


def test_every_conversation_of_one_file_is_its_own_and_those_of_many_files_go_by_file() -> None:
    assert len(set(keys(*(f"talk.jsonl#{line}" for line in range(30))))) == 30
    authors = [f"author{author}.jsonl#{line}" for author in range(12) for line in range(4)]
    assert set(keys(*authors)) == {f"s/author{author}.jsonl" for author in range(12)}


def test_what_the_source_says_belongs_together_is_one_cluster_wherever_it_lies() -> None:
    assert set(keys("a/1.jsonl#1", "b/2.jsonl#9", split_key="author 7")) == {"author 7"}


def test_nothing_held_out_has_no_clusters() -> None:
    assert clustered([]) == []
