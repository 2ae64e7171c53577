# make demo: environment, installation and the main job. make test: environment and all checks.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST = $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
STAMP := $(VENV)/.installed

.PHONY: demo test quick lint types unit slow gpu oldest docs wheel clean

demo: $(STAMP)
	$(BIN)/gan-lab train

test: lint types unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/check_words.py

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(PYTEST)

# The inner loop, under two minutes: mathematics, and the core without complete runs.
quick: $(STAMP)
	$(PYTEST) tests/losses tests/regularizers tests/layers tests/optim tests/augment tests/gans/test_phases.py \
		tests/gans/test_two_player.py tests/gans/test_conditions.py tests/test_noise.py tests/test_keys.py tests/test_ranges.py tests/test_ranks.py

slow: $(STAMP)
	$(PYTEST) -m slow

gpu: $(STAMP)
	$(BIN)/pytest -m gpu

# The tests with the oldest dependencies that pyproject.toml allows, in an environment of its own; for Python 3.10.
oldest:
	mkdir -p build
	$(PYTHON) tools/oldest.py > build/oldest.txt
	PIP_CONSTRAINT=build/oldest.txt $(MAKE) unit VENV=.venv-oldest

docs: $(VENV)/.docs
	$(BIN)/python tools/model_page.py docs/models.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: $(STAMP)
	$(BIN)/python -m build --no-isolation
	$(BIN)/twine check --strict dist/*

$(VENV)/.docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) .venv-oldest build dist site docs/models.md .mypy_cache .pytest_cache .ruff_cache
