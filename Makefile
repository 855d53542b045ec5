# healthcare-records: `make run` and `make test` are all that a fresh machine with Python 3.11 or newer needs.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help setup run demo test check bench fuzz lock clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(STAMP)  ## make .venv from the lock file (fetches about 260 MB, once)

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and was not found: install it, or run make PYTHON=/path/to/python3"; exit 1; }
	@echo "setup: $(VENV) with $$($(PYTHON) --version), $$(grep -c '^[a-z].*==' requirements.lock) locked packages: about 260 MB, once"
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make environments: install its venv module (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@echo "setup: fetching and checking packages; this takes a minute or two"
	@$(PIP) install --require-hashes --progress-bar off -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(STAMP)
	@echo "setup: done, $$(du -sh $(VENV) | cut -f1) in $(VENV)"

run: setup  ## start everything, publish the sample documents, stay until Ctrl-C
	@$(BIN)/healthcare-records demo

demo: setup  ## the same, and leave when every document has its outcome
	@$(BIN)/healthcare-records demo --exit

test: setup  ## all tests, on a real Kafka and a real PostgreSQL
	@$(BIN)/python -m pytest tests

check: setup  ## format, lint, types, imports, quick tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest tests/unit tests/contract tests/golden

bench: setup  ## measure; writes docs/performance.md and docs/reading-performance.md
	@$(BIN)/python -m tests.bench
	@$(BIN)/python -m tests.bench.reading

SECONDS ?= 600
fuzz: setup  ## change and read inputs for SECONDS (600)
	@$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

lock: setup  ## resolve requirements.lock anew
	@command -v uv >/dev/null || $(PIP) install uv
	@PATH="$(CURDIR)/$(BIN):$$PATH" uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--no-header --all-extras --quiet pyproject.toml -o requirements.lock

clean:  ## remove the environment, caches and the local state
	@rm -rf $(VENV) .healthcare-records build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
