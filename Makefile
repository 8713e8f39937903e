# Two commands matter: `make up` runs the product, `make test` checks it. Both set up what they need.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
# Tests wait for real processes most of the time: three of them keep two cores busy. WORKERS=0 for a debugger.
WORKERS ?= 3
UV_VERSION := 0.13.9
UV     := $(BIN)/uv

.DEFAULT_GOAL := help
.PHONY: help up test checks pytest unit lint types bench lock clean notebooks notebooks-check report screenshots

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/.uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "BetterStack Workbench needs Python 3.11 or newer: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing (Debian: apt-get install python3-venv)"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

# Dev holds everything that runtime holds, so whoever tests does not install twice.
$(VENV)/.runtime: $(VENV)/.uv requirements.lock pyproject.toml
	@test -e $(VENV)/.dev || $(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@test ! -e $(VENV)/.dev || $(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements-dev.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.uv requirements-dev.lock pyproject.toml
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements-dev.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@ $(VENV)/.runtime

up: $(VENV)/.runtime  ## set up and run everything; ARGS="--port 8600 --data-dir DIR" is passed on
	@exec $(BIN)/betterstack up $(ARGS)

test: $(VENV)/.dev  ## set up and run every check; ARGS="-k sites" picks tests
	@sh .ci/system-packages
	@$(MAKE) --no-print-directory --jobs=2 --keep-going checks pytest

checks:
	@$(MAKE) --no-print-directory --jobs=1 --keep-going lint types

pytest: $(VENV)/.dev
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --no-loadscope-reorder $(ARGS)

unit: $(VENV)/.dev  ## the pure tests, in seconds
	@$(BIN)/python -m pytest tests/unit $(ARGS)

lint: $(VENV)/.dev  ## ruff and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache

types: $(VENV)/.dev  ## mypy, strict
	@$(BIN)/mypy

bench: $(VENV)/.dev  ## every benchmark; each prints one JSON object with its bars
	@sh .ci/bench-packages
	@missed=0; for bench in tests/bench/[a-z]*.py; do echo "$$bench"; $(BIN)/python $$bench --json || missed=1; done; exit $$missed

# A kernel works in its notebook's folder; the data dir is where `make up` has it, unless somebody says otherwise.
OURS := BETTERSTACK_DATA_DIR="$${BETTERSTACK_DATA_DIR:-$(CURDIR)/.betterstack}"

notebooks: $(VENV)/.notebooks  ## open JupyterLab on the notebooks, with the data of the running workbench
	@$(BIN)/jupytext --quiet --sync notebooks/[0-9]*.py
	@$(OURS) exec $(BIN)/jupyter lab --notebook-dir notebooks $(ARGS)

# What a notebook shows goes into its .ipynb, what a person wrote into the percent source beside it. Only that is kept.
$(VENV)/.notebooks: $(VENV)/.dev pyproject.toml
	@$(UV) pip install --quiet --python $(BIN)/python --constraint requirements-dev.lock --group notebooks
	@touch $@

notebooks-check: $(VENV)/.dev  ## execute all notebooks on the running workbench, into build/
	@mkdir -p build
	@for nb in notebooks/[0-9]*.py; do echo $$nb; $(BIN)/jupytext --quiet --to ipynb --output build/$$(basename $$nb .py).ipynb $$nb && $(OURS) $(BIN)/jupyter-execute --inplace build/$$(basename $$nb .py).ipynb || exit 1; done

report: $(VENV)/.runtime  ## add what draws the charts of HTML reports
	@$(UV) pip install --quiet --python $(BIN)/python --editable '.[report]'

lock: $(VENV)/.uv  ## resolve the versions anew
	@$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url pyproject.toml -o requirements.lock
	@$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	@echo 'uv_build>=0.13,<0.14' | $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --custom-compile-command "make lock" - -o deploy/build.lock

clean:  ## remove what was built; data stays
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache

screenshots: $(VENV)/.dev  ## pictures for the README, of the workbench on URL= and its site SITE=
	@$(BIN)/python -m tests.browser.screenshots $(URL) $(SITE)
