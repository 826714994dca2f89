# `make demo` and `make test` set everything up on a machine with Python 3.11 or 3.12.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-from-lock

# The first interpreter of a supported version that really starts (a pyenv shim may not).
FIND_PYTHON = for candidate in "$${PYTHON:-}" python3.11 python3.12 python3 python; do \
	[ -n "$$candidate" ] || continue; \
	if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; \
	then echo "$$candidate"; exit 0; fi; done; \
	echo "No Python 3.11 or 3.12 with its venv module was found." >&2; \
	echo "hint: install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv), or name it: make PYTHON=/path/to/python3.11 ..." >&2; \
	exit 1

.PHONY: help setup demo test check soak chaos faults mutants escape calibrate fmt lock vectors clean

help: ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

setup: $(STAMP) ## make .venv from the hash-locked requirements, if it is missing or older than they are

$(STAMP): requirements-dev.lock pyproject.toml
	@python="$$($(FIND_PYTHON))"; \
	if ! $(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null; then \
		echo "Making $(VENV) with $$("$$python" --version)."; "$$python" -m venv --clear $(VENV); fi
	@echo "Installing the locked requirements."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index --editable .
	@touch $@

demo: setup ## the main job told step by step: issue, prove, verify offline, revoke, prove again
	@$(BIN)/qiong demo

test: setup ## all tests
	$(BIN)/python -m pytest

check: setup ## what CI runs: format, lint, types, import contracts, the contracts' own lint, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	for contract in contracts/library/*.py; do $(BIN)/qiong contract lint "$$contract"; done
	$(BIN)/python -m pytest

soak: setup ## the long searches: an hour of random simulations, three quarters of one of the wide model check, random histories of the index, five minutes of fuzzing
	$(BIN)/python -m tests.simulation.soak --minutes $${QIONG_SOAK_MINUTES:-60}
	$(BIN)/python -m pytest -m slow tests/model tests/node/index
	$(BIN)/python -m tests.fuzz --minutes $${QIONG_FUZZ_MINUTES:-5}

chaos: setup ## breaks real validators for an hour and a half: crashes, power losses, damage, partitions, liars, disks
	$(BIN)/python -m pytest -m chaos tests/chaos

faults: setup ## the table of faults: row, layer, test and result; QIONG_FAULTS='--layer S' runs one layer
	$(BIN)/python -m tests.faults $${QIONG_FAULTS:-}

mutants: setup ## plants faults in the code, one at a time, and names the test layer that catches each
	$(BIN)/python -m tests.mutants

escape: setup ## tries 76 ways out of the locked contract worker, each also without the lock
	$(BIN)/python -m tests.escape

calibrate: setup ## measures every price of the gas table in a locked worker
	$(BIN)/qiong bench --contracts --calibrate

fmt: setup ## format and sort imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix --select I .

# The lock holds names, versions and hashes of the wheels for every supported Python; no addresses.
PIP_COMPILE = $(VENV)-lock/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

lock: ## resolve the requirements anew (needs the network)
	@python="$$($(FIND_PYTHON))"; "$$python" -m venv $(VENV)-lock
	@$(VENV)-lock/bin/python -m pip install --quiet 'pip-tools>=7.5'
	$(PIP_COMPILE) --upgrade --output-file requirements.lock pyproject.toml
	$(PIP_COMPILE) --upgrade --extra dev --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml
	@rm -rf $(VENV)-lock

vectors: setup ## record the golden vectors anew after a wanted change of a wire format
	QIONG_RECORD_VECTORS=1 $(BIN)/python -m pytest tests/vectors

clean: ## remove what setup and the tools made
	rm -rf $(VENV) $(VENV)-lock build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
