# make demo: environment, installation and the main job. make test: environment and all checks.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST = $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
STAMP := $(VENV)/.installed

.PHONY: demo test lint types unit slow gpu clean

demo: $(STAMP)
	$(BIN)/gan-lab train

test: lint types unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(PYTEST)

slow: $(STAMP)
	$(PYTEST) -m slow

gpu: $(STAMP)
	$(BIN)/pytest -m gpu

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
