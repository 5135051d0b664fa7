"""The rules that keep the code base one: direction, the same files everywhere, sizes, where the environment is read."""

import ast
import builtins
import importlib
import inspect
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from ropewalk.events import resources
from ropewalk.events.base import Message
from ropewalk.events.registry import MESSAGE_TYPES

ROOT = Path(__file__).parents[1]
LIBS = ROOT / "libs" / "ropewalk"
SERVICES = ROOT / "services" / "ropewalk"
SERVICE_NAMES = ("ingest", "preprocessing", "trainer", "checkpoint_manager", "evaluator", "monitor", "serving")
REQUIRED_FILES = {"__init__.py", "__main__.py", "contract.py", "app.py", "settings.py", "handlers.py"}
KNOWN_FILES = REQUIRED_FILES | {"domain.py", "domain", "ports.py", "adapters", "errors.py"}
# Beyond the usual names, each with its reason.
EXTRA_FILES = {
    "serving": {"triton.py"},  # the process that becomes tritonserver
    "monitor": {"schema"},  # SQL
}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 45
MAX_FOLDER_FILES = 27
CATCH_ALLS = {
    "libs/ropewalk/delivery/outcome.py",  # one message
    "libs/ropewalk/model/engine.py",  # one request among those that are decoded together
    "services/ropewalk/serving/adapters/triton_backend/model.py",  # one request among those that arrive together
}
# Read by more than one class on purpose: every process must find the same folder, and two must hold the same key.
SHARED_SETTINGS = {"ROPEWALK_STATE_DIR", "ROPEWALK_SERVING_INTERNAL_KEY"}
MARKS_OF_A_PROCESS = {"ROPEWALK_STACK_STATE", "ROPEWALK_STACK_PROCESS"}
HEAVY = ("torch", "ray", "transformers", "deepspeed", "scipy", "datasets", "matplotlib", "peft")
OUTSIDE_WORLD = {"asyncio", "httpx", "nats", "os", "random", "ray", "socket", "subprocess", "tempfile", "torch"}
# The rooms that speak to the server; everything else sees messages, outcomes and states.
KNOW_THE_NATS_CLIENT = {"bus", "admin", "drills"}
# Each speaks to the server for one more reason: leases, gauges, FastStream's broker, an inspection.
ALSO_KNOW_THE_NATS_CLIENT = {
    "libs/ropewalk/client/dead_letters.py",
    "libs/ropewalk/delivery/consumer.py",
    "libs/ropewalk/local/supervision/probes.py",
    "libs/ropewalk/runtime/broker.py",
    "libs/ropewalk/runtime/gauges.py",
    "libs/ropewalk/stages/leases.py",
}
# Class names that several services have, because each says it of itself: what it is told, what it asks of the log.
ONE_PER_SERVICE = {"Settings"}
WORKSHOP_WORDS = ("TODO", "FIXME", "XXX", "NotImplementedError")
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc"}

SOURCES = sorted([*LIBS.rglob("*.py"), *SERVICES.rglob("*.py")])


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def reads_environment(module: ast.Module) -> bool:
    """Whether os.environ or os.getenv is read. `os.environ.update(...)`, which some libraries need, only writes."""
    written = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Attribute) and node.attr == "update"}
    for node in ast.walk(module):
        if id(node) in written:
            continue
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"os.environ", "os.getenv", "os.environb"}:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            return bool({alias.name for alias in node.names} & {"environ", "getenv"})
    return False


def imported_libraries(module: ast.Module) -> set[str]:
    """First parts of the names of everything imported anywhere in a module."""
    names = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


def catch_alls(module: ast.Module) -> list[int]:
    """Lines with `except:`, `except Exception` or `except BaseException` that do not raise again."""
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            broad = {"Exception", "BaseException"} & {name.id for name in caught if isinstance(name, ast.Name)}
            raises = bool(node.body) and isinstance(node.body[-1], ast.Raise)
            if (node.type is None or broad) and not raises:
                found.append(node.lineno)
    return found


def exceptions() -> dict[str, list[str]]:
    """Every public exception class with the names of its bases. Class names are unique, so names are enough."""
    bases = {
        node.name: [ast.unparse(base).rpartition(".")[2] for base in node.bases]
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef)
    }
    builtin = {name for name, value in vars(builtins).items() if isinstance(value, type(Exception))}
    raised = {name for name in builtin if issubclass(getattr(builtins, name), BaseException)}
    before = -1
    while len(raised) > before:
        before = len(raised)
        raised |= {name for name, above in bases.items() if raised & set(above)}
    return {name: above for name, above in bases.items() if name in raised and not name.startswith("_")}


@pytest.fixture(scope="module")
def interface(load_script: Callable[[Path], ModuleType]) -> ModuleType:
    """tests/interface.py, a script and no package."""
    return load_script(ROOT / "tests" / "interface.py")


def test_imports_go_the_allowed_way() -> None:
    checked = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout


def test_the_two_roots_are_namespaces_and_every_package_below_is_explicit() -> None:
    for root in (LIBS, SERVICES):
        assert not (root / "__init__.py").exists()
        folders = {path.parent for path in root.rglob("*.py")} - {root}
        assert [relative(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_there_are_seven_services() -> None:
    assert {path.name for path in SERVICES.iterdir() if path.name != "__pycache__"} == set(SERVICE_NAMES)


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_every_service_has_the_same_files(service: str) -> None:
    present = {path.name for path in (SERVICES / service).iterdir() if path.name != "__pycache__"}
    assert REQUIRED_FILES - present == set()
    assert present - KNOWN_FILES - EXTRA_FILES.get(service, set()) == set()
    assert len(present & {"domain.py", "domain"}) == 1


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_importing_a_service_loads_no_heavy_library_and_starts_nothing(service: str) -> None:
    code = (
        f"import sys, threading, ropewalk.{service}.app\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], threading.active_count())"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[] 1"


@pytest.mark.parametrize("service", SERVICE_NAMES)
def test_domains_do_no_input_or_output(service: str) -> None:
    folder = SERVICES / service
    files = [*folder.glob("domain.py"), *folder.glob("domain/**/*.py")]
    forbidden = {
        "asyncio",
        "httpx",
        "nats",
        "os",
        "random",
        "ray",
        "requests",
        "socket",
        "subprocess",
        "tempfile",
        "torch",
    }
    for path in files:
        imported = {
            name.partition(".")[0]
            for node in ast.walk(tree(path))
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert imported & forbidden == set(), relative(path)


def test_only_the_bus_knows_the_nats_client() -> None:
    importers = {relative(path) for path in SOURCES if "nats" in imported_libraries(tree(path))}
    outside = {path for path in importers if path.split("/")[2] not in KNOW_THE_NATS_CLIENT}
    assert outside == ALSO_KNOW_THE_NATS_CLIENT


def test_every_message_type_has_a_proto_message_and_the_other_way_round() -> None:
    written = {
        line.split()[1]
        for path in (ROOT / "proto").rglob("*.proto")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("message ")
    }
    kinds = {kind.__name__ for kind in MESSAGE_TYPES}
    assert kinds <= written
    nested = {
        name
        for module in {resources, *(inspect.getmodule(kind) for kind in MESSAGE_TYPES)}
        for name, member in vars(module).items()
        if inspect.isclass(member) and member.__module__ == module.__name__ and not name.startswith("_")
    }
    assert written - kinds == nested - kinds | {"Envelope"}


def test_every_message_type_is_registered() -> None:
    defined = {
        member
        for path in (LIBS / "events").glob("*.py")
        for member in vars(importlib.import_module(f"ropewalk.events.{path.stem}")).values()
        if inspect.isclass(member) and issubclass(member, Message) and "name" in vars(member)
    }
    assert defined == set(MESSAGE_TYPES)


def test_a_setting_is_declared_once(interface: ModuleType) -> None:
    owners = defaultdict(set)
    for setting in interface.own_settings():
        owners[setting.name].add(setting.owner)
    assert len(owners) > 20
    assert {name for name, classes in owners.items() if len(classes) > 1} == SHARED_SETTINGS


def test_a_stack_is_told_only_what_somebody_reads(interface: ModuleType) -> None:
    told_to_compose = re.findall(r"\$\{(ROPEWALK_[A-Z_]*[A-Z])", (ROOT / "compose.yaml").read_text())
    known = {setting.name for setting in interface.own_settings()} | MARKS_OF_A_PROCESS | set(told_to_compose)
    words = {
        str(node.value)
        for path in (LIBS / "local").rglob("*.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant)
    }
    names = {word for word in words if re.fullmatch(r"ROPEWALK_[A-Z_]*[A-Z]", word)}
    assert "ROPEWALK_NATS_URL" in names
    assert names - known == set()


def test_the_list_of_options_and_settings_is_frozen(interface: ModuleType) -> None:
    frozen = interface.FROZEN.read_text(encoding="utf-8").splitlines()
    present = interface.lines()
    added, removed = sorted(set(present) - set(frozen)), sorted(set(frozen) - set(present))
    assert (added, removed) == ([], []), "if you want them: make freeze"


def test_only_settings_modules_read_the_environment() -> None:
    readers = [relative(path) for path in SOURCES if path.name != "settings.py" and reads_environment(tree(path))]
    assert readers == []


def test_a_read_of_the_environment_is_found() -> None:
    for text in ("import os\nos.environ['X']", "import os\nos.getenv('X')", "from os import environ"):
        assert reads_environment(ast.parse(text))
    for text in ("import os\nos.path.join('environ')", "import os\nos.environ.update(X='1')"):
        assert not reads_environment(ast.parse(text))


def test_only_what_isolates_one_from_others_catches_everything() -> None:
    found = {relative(path): lines for path in SOURCES if (lines := catch_alls(tree(path)))}
    assert set(found) == CATCH_ALLS
    assert all(len(lines) == 1 for lines in found.values())


def test_a_catch_all_is_found() -> None:
    for handler in ("except:", "except Exception:", "except (ValueError, BaseException) as e:"):
        assert catch_alls(ast.parse(f"try:\n  x()\n{handler}\n  pass"))
    assert not catch_alls(ast.parse("try:\n  x()\nexcept BaseException:\n  y()\n  raise"))


def test_a_public_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for path in SOURCES:
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(relative(path))
    assert {name for name, files in places.items() if len(files) > 1} == ONE_PER_SERVICE


def test_every_error_hangs_below_the_one_root_and_every_branch_is_drawn_there() -> None:
    found = exceptions()
    assert len(found) > 50
    drawn = ast.get_docstring(tree(LIBS / "errors.py")) or ""
    hanging = {"RopewalkError"}
    for _ in found:
        hanging |= {name for name, above in found.items() if hanging & set(above)}
    assert set(found) - hanging == set()
    branches = [name for name, above in found.items() if "RopewalkError" in above]
    assert [name for name in branches if not re.search(rf"\b{name}\b", drawn)] == []


def test_files_and_functions_are_short() -> None:
    long_files = [relative(path) for path in SOURCES if len(path.read_text().splitlines()) > MAX_FILE_LINES]
    long_functions = [
        f"{relative(path)}:{function.name}"
        for path in SOURCES
        for function in functions(path)
        if (function.end_lineno or 0) - function.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert long_files == []
    assert long_functions == []


def test_a_folder_is_a_room_and_not_a_store() -> None:
    files = Counter(relative(path.parent) for path in SOURCES)
    assert {folder: number for folder, number in files.items() if number > MAX_FOLDER_FILES} == {}


def test_no_file_is_a_drawer() -> None:
    assert [relative(path) for path in SOURCES if DRAWERS & {path.stem, path.parent.name}] == []


def test_every_module_says_what_it_is_for() -> None:
    assert [relative(path) for path in SOURCES if not ast.get_docstring(tree(path))] == []


def test_no_unfinished_work_is_left_in_the_code() -> None:
    found = [
        f"{relative(path)}:{number}: {word}"
        for path in SOURCES
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for word in WORKSHOP_WORDS
        if word in line
    ]
    assert found == []


def test_ports_have_at_most_five_methods() -> None:
    for path in SERVICES.glob("*/ports.py"):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
                assert len(methods) <= 5, f"{relative(path)}:{node.name}"


def test_tests_have_unique_module_paths_and_no_packages() -> None:
    assert [relative(path) for path in (ROOT / "tests").rglob("__init__.py")] == []
