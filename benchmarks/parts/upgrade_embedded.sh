#!/usr/bin/env bash
# A state folder of an older commit under the present code: its run, its model and its rows must be there afterwards.
#   bash benchmarks/parts/upgrade_embedded.sh [COMMIT] [FOLDER]     some four minutes; needs git history and .venv
set -euo pipefail
commit=${1:-15e3604} folder=${2:-$(mktemp -d)}
root=$(git rev-parse --show-toplevel) old=$folder/code state=$folder/state
python=$root/.venv/bin/python
say() { "$python" -c "from ropewalk.cli.main import main; main()" "$@" --state-dir "$state"; }
before() { PYTHONPATH=$old/libs:$old/services say "$@"; }
facts() { "$1" runs --json | grep '"run_id"\|"state"\|"status"' | sort; "$1" query "SELECT count() FROM ropewalk.event" | tail -1; "$1" models; }
trap 'say down; git worktree remove --force "$old"' EXIT
git worktree add --quiet --detach "$old" "$commit"
mkdir -p "$folder/data" && cp "$("$python" -c 'import os; print(os.path.dirname(os.__file__))')"/*.py "$folder/data"
printf 'name: upg\nsources: [{path: %s/data, licence: PSF-2.0}]\nsize: tiny\nminutes: 0.1\nevaluation: {gate: toy}\n' \
  "$folder" >"$folder/recipe.yaml"
cd "$folder"
before up && before submit "$folder/recipe.yaml" --follow
facts before >"$folder/before" && before down
say upgrade && say up && say doctor || true
facts say >"$folder/after"
diff "$folder/before" "$folder/after" && echo "the runs, rows and models of $commit are there"
