# make demo and make test do all their own set-up: a virtual environment in .venv, pinned by constraints.txt.
PYTHON ?= python3
PY := .venv/bin/python

# Where a Python 3.8 is, a real Caffe runs beside the rest, in an environment of its own.
PYTHON38 ?= $(shell for p in $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.8*/bin/python python3.8; do "$$p" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 8))' 2>/dev/null && { echo "$$p"; break; }; done)
CAFFE := $(HOME)/.cache/netwright/caffe

.PHONY: setup setup-ports demo test test-ports lint web docs bench clean

setup: .venv/.done

.venv/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Netwright needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt 'torch==2.13.0'
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch .venv/.done

setup-ports: .venv/.ports

.venv/.ports: .venv/.done
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,ports]'
	@if [ -z "$(PYTHON38)" ]; then echo "no Python 3.8 here (make PYTHON38=…): Caffe's referee is OpenCV alone"; \
	elif ! { { test -x $(CAFFE)/bin/python || "$(PYTHON38)" -m venv $(CAFFE); } && \
	  $(CAFFE)/bin/python -m pip install --quiet --disable-pip-version-check protobuf==3.20.3 kendryte-caffe==1.0.0.20210829; }; \
	then echo "a real Caffe could not be installed: its referee is OpenCV alone"; fi
	@touch .venv/.ports

demo: setup
	$(PY) -m netwright improve examples/digits.py --budget 2m

test: setup
	$(PY) -m pytest

# Every network of the zoo in every technology, and real networks; make test runs what is installed without them.
test-ports: setup-ports
	$(PY) -m pytest tests/ports -m matrix --matrix --dist load

lint: setup
	$(PY) -m ruff check src tests benchmarks examples docs
	$(PY) -m ruff format --check src tests benchmarks examples docs
	$(PY) docs/make_catalogue.py --check
	$(PY) docs/make_diagnosis.py --check
	$(PY) docs/make_ports.py --check
	$(PY) -m pyright
	$(PY) -c "from importlinter.cli import lint_imports_command as run; run()"

# The browser views are committed as built; only this target, and whoever changes them, needs Node.
web:
	cd web && npm ci --silent --no-audit --no-fund && npm run check && npm run same

docs: setup
	$(PY) docs/make_catalogue.py
	$(PY) docs/make_diagnosis.py
	$(PY) docs/make_ports.py

bench: setup
	$(PY) -m benchmarks.loop_overhead
	$(PY) -m benchmarks.startup
	$(PY) -m benchmarks.watch_overhead
	$(PY) -m benchmarks.atlas
	$(PY) -m benchmarks.page

clean:
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis
