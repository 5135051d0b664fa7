"""What the two images are: size, layers that a new revision changes, packages, user, compilers. Prints JSON.

python benchmarks/images.py [--version 0.2.0]       needs Docker and the images (`make images`)
"""

import argparse
import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from machine import describe

_ROOT = Path(__file__).parents[1]
_MOST_MB = {"core": 370, "ml": 2500}
_COMPILERS = "for p in gcc g++ cc c++ clang ld as make; do command -v $p; done; :"
_PACKAGES = "import importlib.metadata as m; print(len({d.name for d in m.distributions()}))"


def main() -> None:
    """Ask Docker about both images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--version", default=tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"]
    )
    version = parser.parse_args().version
    images = {name: _measured(f"ropewalk/{name}:{version}", most) for name, most in _MOST_MB.items()}
    print(
        json.dumps({"machine": describe(), "docker": _docker("version", "-f", "{{.Server.Version}}"), "images": images})
    )


def _measured(image: str, most_mb: int) -> dict[str, Any]:
    (found,) = json.loads(_docker("image", "inspect", image))
    layers = _docker("history", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image).splitlines()
    ours = next(int(line.split()[0]) for line in layers if "COPY" in line)  # the newest copy: our own modules
    size_mb = found["Size"] / 1e6
    return {
        "image": image,
        "size_mb": round(size_mb),
        "most_mb": most_mb,
        "within": size_mb <= most_mb,
        "new_revision_mb": round(ours / 1e6, 1),
        "python_packages": int(_docker("run", "--rm", image, "python", "-c", _PACKAGES)),
        "debian_packages": int(_docker("run", "--rm", image, "sh", "-c", "dpkg-query -W | wc -l")),
        "user": found["Config"]["User"],
        "compilers": _docker("run", "--rm", image, "sh", "-c", _COMPILERS).split(),
    }


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
