"""The real `tritonserver` binary out of the `nvidia-pytriton` wheel, started directly.

The wheel lays its files out for its own proxy; the binary wants a folder with backends and the stub for this
Python. This module builds that folder and knows the command line. It starts nothing.

Whoever reaches Triton may load any code into it (its load call takes files), and its restrictions want their secret
on the command line, which every user of the machine may read. So it listens on no port at all: only on Unix sockets in
a folder of this user. Clients come through the doors of the serving service, with a key.
"""

import shutil
import sys
import sysconfig
from collections.abc import Sequence
from ctypes.util import find_library
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from ropewalk.runtime.own_folder import ForeignFolderError, make_own_folder
from ropewalk.runtime.shared_memory import sweep_shared_memory
from ropewalk.serving.errors import ServingError
from ropewalk.serving.settings import GRPC_SUFFIX, Settings, inherited_environment

BACKEND = "ropewalk"
PRIVATE = 0o077  # umask: also the shared memory, through which every prompt goes, is nobody else's to read
EXIT_TIMEOUT_S = 5


@dataclass(frozen=True)
class Launch:
    """What to execute."""

    argv: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)


def prepare(settings: Settings) -> Launch:
    """Build the server folder, sweep what a killed server left, return the command.

    Raises ServingError when the wheel is not installed or has no stub for this Python, if that is not shared, or if
    the folder of the sockets is somebody else's.
    """
    wheel = _wheel()
    sockets = settings.sockets
    try:
        make_own_folder(settings.triton_dir)
        make_own_folder(sockets.folder)
    except ForeignFolderError as error:
        raise ServingError(str(error)) from None
    folder = settings.triton_dir / "server"
    binary = _lay_out(wheel, folder)
    settings.repository.mkdir(parents=True, exist_ok=True)
    sweep_shared_memory(settings.shm_prefix)
    for stale in (sockets.http, sockets.grpc, sockets.metrics):
        stale.unlink(missing_ok=True)
    return Launch((str(binary), *_options(settings, folder)), _environment(wheel))


def _wheel() -> Path:
    spec = find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise ServingError("the package nvidia-pytriton, which brings tritonserver, is not installed: install .[local]")
    return Path(spec.submodule_search_locations[0]) / "tritonserver"


def require_shared_python(library: str, folders: Sequence[Path]) -> None:
    """The Python backend links to a shared libpython, which some builds of Python lack. Raises ServingError."""
    stem = library.removeprefix("lib").partition(".so")[0]
    if not any((folder / library).is_file() for folder in folders) and find_library(stem) is None:
        raise ServingError(
            f"tritonserver needs the shared library {library}, which this Python ({sys.executable}) does not bring: "
            f"install it (on Debian: apt-get install lib{stem}) or use a Python built with --enable-shared"
        )


def _library_folders() -> list[Path]:
    base = Path(str(sysconfig.get_config_var("LIBDIR")))
    return [base, base / str(sysconfig.get_config_var("MULTIARCH"))]


def _lay_out(wheel: Path, folder: Path) -> Path:
    """Copy what the server needs into `folder`. Returns the binary, which may stay where it is."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    require_shared_python(f"libpython{version}.so.1.0", _library_folders())
    stub = wheel / "python_backend_stubs" / version / "triton_python_backend_stub"
    if not stub.is_file():
        raise ServingError(f"the tritonserver wheel has no Python backend stub for Python {version}: use 3.11 or 3.12")
    python = wheel / "backends" / "python"
    files = {
        "caches/local/libtritoncache_local.so": wheel / "caches" / "local" / "libtritoncache_local.so",
        "backends/python/libtriton_python.so": python / "libtriton_python.so",
        "backends/python/triton_python_backend_utils.py": python / "triton_python_backend_utils.py",
        "backends/python/triton_python_backend_stub": stub,
        f"backends/{BACKEND}/model.py": Path(__file__).parent / "triton_backend" / "model.py",
    }
    for name, source in files.items():  # copies: Triton refuses a library that lies outside the backend's folder
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)  # a stub that still runs keeps its old file
        shutil.copy2(source, place)
    return wheel / "bin" / "tritonserver"


def _options(settings: Settings, folder: Path) -> tuple[str, ...]:
    sockets = settings.sockets
    options = {
        "model-repository": str(settings.repository),
        "model-control-mode": "explicit",
        "backend-directory": str(folder / "backends"),
        "cache-directory": str(folder / "caches"),
        "strict-readiness": "false",
        "pinned-memory-pool-byte-size": "0",
        "exit-timeout-secs": str(EXIT_TIMEOUT_S),
        "http-address": f"unix:{sockets.http}",
        "grpc-address": f"unix:{sockets.folder / 'grpc'}",
        "grpc-port": str(GRPC_SUFFIX),
        "metrics-address": f"unix:{sockets.metrics}",
    }
    if settings.triton.variant:
        options["model-config-name"] = settings.triton.variant
    flags = [f"--{name}={value}" for name, value in options.items()]
    # our repository entries hold the whole config: completing it would start a second stub per load
    flags.append("--disable-auto-complete-config")
    flags += [f"--backend-config={name},shm-region-prefix-name={settings.shm_prefix}" for name in ("python", BACKEND)]
    return tuple(flags)


def _environment(wheel: Path) -> dict[str, str]:
    """The stub must find this interpreter's own libpython before the distribution's, and this venv's packages."""
    environment = inherited_environment()
    libraries = [
        *(str(path) for path in _library_folders()),
        str(wheel.parents[1] / "nvidia_pytriton.libs"),
        environment.get("LD_LIBRARY_PATH", ""),
    ]
    environment["LD_LIBRARY_PATH"] = ":".join(path for path in libraries if path)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment.get('PATH', '')}"
    environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return environment
