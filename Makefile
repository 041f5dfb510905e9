# Everything a contributor types. `make setup` happens by itself where it is needed, once.

PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.10 python3; do command -v $$p && break; done)
VENV   ?= .venv
PIP_FLAGS ?=
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.thinslice-dev
DEMO_STAMP := $(VENV)/.thinslice-run

.PHONY: setup demo test test-slow check format bench pictures clean

setup: $(STAMP)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What the program itself needs: enough for the demo.
$(DEMO_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e .
	touch $@

# That, and what tests and checks need.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	touch $(DEMO_STAMP) $@

demo: $(DEMO_STAMP)
	$(BIN)/thinslice demo -o demo --overwrite

test: $(STAMP)
	$(BIN)/python -m pytest

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

check: $(STAMP)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell src tests docs benchmarks examples deploy *.md Makefile pyproject.toml CITATION.cff

format: $(STAMP)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(STAMP)
	$(BIN)/python benchmarks/enhance_speed.py

# All pictures of the README and of docs/, into docs/.
pictures: $(STAMP)
	$(BIN)/python docs/pictures.py

clean:
	rm -rf $(VENV) build dist demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
