# healthcare-records: `make run` and `make test` are all that a fresh machine with Python >= 3.11 needs.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help setup run demo test check bench lock clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(STAMP)  ## create .venv from the lock file (about 260 MB, once)

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed and none was found; install it, or call make PYTHON=/path/to/python3"; exit 1; }
	@echo "creating $(VENV) with $(PYTHON) and installing the locked packages (about 260 MB, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock --progress-bar off -q
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation -q -e .
	@touch $(STAMP)
	@echo "installed: $$(du -sh $(VENV) | cut -f1)"

run: setup  ## start everything, publish the sample documents, stay until Ctrl-C
	@$(BIN)/healthcare-records demo

demo: setup  ## the same, and leave when every document has its outcome
	@$(BIN)/healthcare-records demo --exit

test: setup  ## all tests, on real Kafka and PostgreSQL
	@$(BIN)/python -m pytest tests

check: setup  ## format, lint, types, imports, quick tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest tests/unit tests/contract tests/golden

bench: setup  ## measure; writes docs/performance.md
	@$(BIN)/python -m tests.bench

lock: setup  ## compile requirements.lock anew
	@$(BIN)/python -m pip install --disable-pip-version-check -q uv
	@$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header \
		--all-extras -q pyproject.toml -o requirements.lock

clean:  ## remove the environment, caches and local state
	@rm -rf $(VENV) .healthcare-records build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
