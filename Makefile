# Eight verbs. Everything happens in .venv; PYTHON picks the interpreter that makes it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup test lint fix bench docs audit release-check

setup: .venv/.ready         ## install the project and what its developers need

test: .venv/.ready          ## the fast tests; `make test ARGS="-m slow"` for real servers and kill -9
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/.ready          ## what CI refuses
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: .venv/.ready           ## mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.ready         ## every benchmark in bench/, one after the other
	@set -e; for file in bench/[!_]*.py; do [ -e "$$file" ] || continue; echo "== $$file"; $(BIN)/python -m "bench.$$(basename "$$file" .py)" $(ARGS); done

docs: .venv/.ready          ## docs/reference/, built from the code; a test says when it is stale
	$(BIN)/python -m scripts.build_docs

audit:                      ## before a release: what a user would install, against the advisory databases
	$(PYTHON) scripts/release_check.py --audit

release-check:              ## builds, installs and tries what a release would be; `ARGS="--tag v0.2.0"` before one
	$(PYTHON) scripts/release_check.py $(ARGS)

.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -e '.[dev]'
	@touch $@
