# The map of all work on charnn. Needs make and Python 3.11 or newer; everything else is installed
# into .venv by the targets that need it.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
CHARNN := $(BIN)/charnn

CONFIG ?= configs/shakespeare.yaml
CKPT   ?= shakespeare.best.npz
N      ?= 500

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help train sample eval test lint clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-zA-Z\/.]+:.*## / { printf "make %-26s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

train: $(VENV)/run data/shakespeare.txt ## train on all of Shakespeare (minutes), then print a sample
	$(CHARNN) train --config $(CONFIG) --resume
	@echo
	$(CHARNN) sample --ckpt $(CKPT) --n $(N) --temperature 0.8
	@echo

sample: $(VENV)/run ## print N characters from CKPT
	@$(CHARNN) sample --ckpt $(CKPT) --n $(N)

eval: $(VENV)/run ## print the exact validation loss of CKPT
	@$(CHARNN) eval --ckpt $(CKPT)

test: lint ## lint, types and tests
	$(BIN)/python -m pytest -n auto

lint: $(VENV)/dev ## style and strict types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

data/shakespeare.txt: data/build.py | $(VENV)/run ## the plays, 4.8 MB of dialogue
	$(BIN)/python data/build.py shakespeare $@

data/tinyshakespeare.txt: data/build.py ## the field's benchmark file, 1.1 MB
	$(PYTHON) data/build.py tinyshakespeare $@

clean: ## remove the environment and all caches; corpora and runs stay
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "charnn needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Empty files that say what is installed in the environment.
$(VENV)/run: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/run
