"""A learning curve on the real stack: part of the specialist's examples, baked with `ropewalk bake --curve`.

    python benchmarks/finetune/curve.py --state-dir FOLDER --out benchmarks/results/finetune_curve.json

The examples are those of the demo (`ropewalk demo specialist`), fewer of them and one pass over them, so that the curve
has something to show. The figures are the report card's: levels with their intervals, the advice, seconds by stage of
each of the three runs. Interrupted, it goes on in the same folder with `--run RUN`, which only follows and reports.
The stack stays up.
"""

import argparse
import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import yaml
from machine import describe

from ropewalk.demo.specialist.base import NAME as BASE
from ropewalk.demo.specialist.base import packaged_gguf
from ropewalk.demo.specialist.functions import chosen_examples
from ropewalk.demo.specialist.task import recipe_fields, write_folder
from ropewalk.usecases.folder import RECORDS, TASK
from ropewalk.usecases.smaller_runs import FRACTIONS, smaller_id

_NUM_EXAMPLES, _MOST_OF_A_MODULE, _STEPS = 160, 4, 20
_LEVEL = ("value", "lower", "upper", "level", "num_items", "num_clusters", "method")


def main() -> None:
    """Bake, follow, report, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--base", default=BASE, help="an imported base of the store; the packaged one is imported")
    parser.add_argument("--run", default="", help="that was begun before")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    state = ["--state-dir", str(options.state_dir)]
    _ropewalk("up", *state)
    run_id = options.run
    if run_id:
        for each in (run_id, *(smaller_id(run_id, fraction) for fraction in FRACTIONS)):
            _ropewalk("watch", each, *state, may_fail=True)
    else:
        if options.base not in _ropewalk("models", "list", "--bases", *state):
            _ropewalk("models", "import", f"gguf:{packaged_gguf()}", "--name", BASE, "--licence", "Apache-2.0", *state)
        folder = options.state_dir.parent / "curve-task"
        write_task(folder, options.base)
        run_id = _ropewalk("bake", str(folder), "--curve", "--follow", *state, may_fail=True).splitlines()[0]
    text = json.dumps({"machine": describe(), **facts(run_id, options.state_dir)}, indent=1)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")


def write_task(folder: Path, base: str) -> None:
    """The demo's task as a user would have it, with fewer examples."""
    write_folder(folder)
    chosen = chosen_examples(Path(sysconfig.get_paths()["stdlib"]), _NUM_EXAMPLES, _MOST_OF_A_MODULE)
    records = [{"input": each.source, "output": each.record, "module": each.module} for each in chosen]
    (folder / RECORDS).write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))
    fields: dict[str, Any] = recipe_fields(folder, base)
    (source,) = fields.pop("sources")
    task = {"max_answer_tokens": fields.pop("task")["max_answer_tokens"], "compare": []}
    training = fields["training"] | {"total_steps": _STEPS, "validate_every": _STEPS}
    kept = {"examples": {name: source[name] for name in ("licence", "key_field")}, "task": task, "training": training}
    (folder / TASK).write_text(yaml.safe_dump(fields | kept))


def facts(run_id: str, state_dir: Path) -> dict[str, Any]:
    """What the report cards of the three runs say."""
    runs = [*(smaller_id(run_id, fraction) for fraction in FRACTIONS), run_id]
    cards = {each: _card(each, state_dir) for each in runs}
    learning = cards[run_id]["learning"]
    return {
        "run_id": run_id,
        "advice": learning["advice"],
        "points": [
            {
                "run_id": point["run_id"],
                "num_learnt": point["num_learnt"],
                "outcome": cards[point["run_id"]]["outcome"],
                "steps": cards[point["run_id"]]["trained"]["step"],
                "stages_s": {each["name"]: round(each["seconds"], 1) for each in cards[point["run_id"]]["stages"]},
                "levels": {metric: {name: level[name] for name in _LEVEL} for metric, level in point["levels"].items()},
            }
            for point in learning["points"]
        ],
    }


def _card(run_id: str, state_dir: Path) -> dict[str, Any]:
    _ropewalk("report", run_id, "--into", str(state_dir.parent), "--state-dir", str(state_dir))
    card: dict[str, Any] = json.loads((state_dir / "reports" / run_id / "report.json").read_text())
    return card


def _ropewalk(*arguments: str, may_fail: bool = False) -> str:
    """What it printed, which is shown too. Raises SystemExit where it fails."""
    command = [str(Path(sys.executable).parent / "ropewalk"), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None, "it is a pipe"
        lines = []
        for line in process.stdout:
            lines.append(line)
            print(line, end="", file=sys.stderr, flush=True)
    if process.returncode and not may_fail:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return "".join(lines)


if __name__ == "__main__":
    main()
