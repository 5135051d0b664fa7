"""The kinds of inference backends, by the name under which facts say what a model version is on.

A new kind is a module with the port `Inference` and a line here.
"""

from collections.abc import Callable

from ropewalk.serving.adapters.triton_client import TritonInference
from ropewalk.serving.ports import Inference, Repaired
from ropewalk.serving.settings import Settings

KINDS: dict[str, Callable[[Settings, Repaired], Inference]] = {
    "triton": TritonInference,
}
