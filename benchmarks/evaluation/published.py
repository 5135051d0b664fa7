"""Published numbers and those of other libraries against our formulas, all in one command.

    python benchmarks/evaluation/published.py [FILE]

FILE is a list of checks like `published.json` beside this script: `function` of
`ropewalk.evaluator.domain.published.FUNCTIONS`, `arguments`, `keywords`, `path` into the result ("max" takes the
largest entry), `expected` to so many `digits` after the point, `source`. Exit 1 where one differs.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ropewalk.evaluator.domain.published import FUNCTIONS

CHECKS = Path(__file__).with_suffix(".json")


def found(check: dict[str, Any]) -> Any:
    """What our function says, at the check's path."""
    result = FUNCTIONS[check["function"]](*check["arguments"], **check.get("keywords", {}))
    for step in check.get("path", ()):
        result = max(result) if step == "max" else result[step]
    return result


def agrees(check: dict[str, Any], result: Any) -> bool:
    """Whether it is the expected number to its last digit."""
    return np.allclose(result, check["expected"], rtol=0, atol=0.5000001 * 10.0 ** -check["digits"])


def differing(checks: Iterable[dict[str, Any]]) -> list[str]:
    """A sentence for every check that fails."""
    told = [(check, found(check)) for check in checks]
    return [
        f"{check['name']}: {result}, not {check['expected']} ({check['source']})"
        for check, result in told
        if not agrees(check, result)
    ]


def main() -> None:
    checks = json.loads((Path(sys.argv[1]) if len(sys.argv) > 1 else CHECKS).read_text(encoding="utf-8"))
    wrong = differing(checks)
    print("\n".join([*wrong, f"{len(checks) - len(wrong)} of {len(checks)} agree"]))
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
