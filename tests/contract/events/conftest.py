"""The compiled .proto files and the tool that describes them."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message as ProtoMessage

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def contracts(load_script: Callable[[Path], ModuleType]) -> ModuleType:
    """proto/contracts.py, which is a script beside the .proto files and no package."""
    return load_script(ROOT / "proto" / "contracts.py")


@pytest.fixture(scope="session")
def compiled(contracts: ModuleType) -> FileDescriptorSet:
    return contracts.compile_protos()


@pytest.fixture(scope="session")
def proto_classes(compiled: FileDescriptorSet) -> dict[str, type[ProtoMessage]]:
    """Message name -> protobuf class, made from the compiled files alone."""
    pool = descriptor_pool.DescriptorPool()
    for file in compiled.file:
        pool.Add(file)
    classes = message_factory.GetMessageClassesForFiles([file.name for file in compiled.file], pool)
    return {name.rpartition(".")[2]: made for name, made in classes.items() if name.startswith("ropewalk.v1.")}
