# make demo and make test do all their own set-up: a virtual environment in .venv, pinned by constraints.txt.
PYTHON ?= python3
PY := .venv/bin/python

.PHONY: setup demo test lint web docs bench clean

setup: .venv/.done

.venv/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Netwright needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt 'torch==2.13.0'
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch .venv/.done

demo: setup
	$(PY) -m netwright improve examples/digits.py --budget 2m

test: setup
	$(PY) -m pytest

lint: setup
	$(PY) -m ruff check src tests benchmarks examples docs
	$(PY) -m ruff format --check src tests benchmarks examples docs
	$(PY) docs/make_catalogue.py --check
	$(PY) docs/make_diagnosis.py --check
	$(PY) -m pyright
	$(PY) -c "from importlinter.cli import lint_imports_command as run; run()"

# The browser views are committed as built; only this target, and whoever changes them, needs Node.
web:
	cd web && npm ci --silent --no-audit --no-fund && npm run check && npm run same

docs: setup
	$(PY) docs/make_catalogue.py
	$(PY) docs/make_diagnosis.py

bench: setup
	$(PY) -m benchmarks.loop_overhead
	$(PY) -m benchmarks.startup
	$(PY) -m benchmarks.watch_overhead
	$(PY) -m benchmarks.atlas
	$(PY) -m benchmarks.page

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
