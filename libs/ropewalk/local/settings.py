"""What the embedded stack takes from the environment: what its processes inherit."""

import os
from collections.abc import Mapping


def inherited_environment() -> Mapping[str, str]:
    """The environment that processes of the stack start from: the user's own, so that tuning passes through."""
    return dict(os.environ)
