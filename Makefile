# Everything is installed into .venv; make and Python 3.11 or newer are enough to begin.
# PYTHON=… names the interpreter, ARGS=… is passed on, as in `make test ARGS="-k approval"`. JOBS=… is how many
# processes the whole suite runs in; with ARGS, tests run in one, so that a debugger works.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help setup demo up down test quick fuzz attacks lint bench profile requirements clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
SOURCES := workflows activities workers agents tests bench
JOBS ?= auto
MINUTES ?= 10
PARALLEL = -n $(JOBS) --dist loadscope --no-loadscope-reorder
COMPILE = $(BIN)/uv pip compile --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
	--python-version 3.11 --universal $(ARGS)

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | while IFS='|' read -r name text; do \
		printf '  make %-13s %s\n' "$$name" "$$text"; done

# Compiled here, because where PYTHONDONTWRITEBYTECODE is set every command would compile everything it imports anew.
setup: $(STAMP) ## Make .venv with everything in it (again only when a requirement changed)
	@$(BIN)/python -m compileall -q $(SOURCES) || true

demo: setup ## Bring everything up and run the demo agent
	@echo "==> stanchion demo"
	@$(BIN)/stanchion demo $(ARGS)

up: setup ## Start Temporal, Postgres and the workers
	@$(BIN)/stanchion up $(ARGS)

down: setup ## Stop what `make up` started
	@$(BIN)/stanchion down $(ARGS)

test: setup ## Run the tests
	@echo "==> pytest (the first run on a machine may build the Temporal CLI: about three minutes)"
	@$(BIN)/python -m pytest $(or $(strip $(ARGS)),$(PARALLEL))

quick: setup ## Run the tests that kill nothing and wait for nothing long
	@echo "==> pytest without the slow tests"
	@$(BIN)/python -m pytest $(PARALLEL) -m "not slow" $(ARGS)

fuzz: setup ## Run the property tests with random seeds for MINUTES=10
	@echo "==> property tests, random seeds, $(MINUTES) minutes"
	@$(BIN)/python -m tests.fuzz $(MINUTES)

attacks: setup ## Try all attacks and their benign twins; one JSON line at the end
	@$(BIN)/python -m tests.attacks $(ARGS)

lint: setup ## Check style, types and the direction of imports
	@echo "==> ruff check" && $(BIN)/ruff check .
	@echo "==> ruff format" && $(BIN)/ruff format --check .
	@echo "==> mypy" && $(BIN)/mypy
	@echo "==> lint-imports" && $(BIN)/lint-imports

bench: setup ## Measure the figures of docs
	@echo "==> bench"
	@$(BIN)/python -m bench $(ARGS)

profile: setup ## CPU of one step of a run by layer, and its SQL statements
	@$(BIN)/python -m bench.profile $(ARGS)

# dev.txt holds all pins; the others are constrained by it, so that one version is tested and shipped.
requirements: $(BIN)/uv ## Write requirements/*.txt anew from pyproject.toml (ARGS=--upgrade for newer versions)
	@echo "==> resolving requirements/*.txt"
	@$(COMPILE) pyproject.toml --all-extras -o requirements/dev.txt
	@$(COMPILE) pyproject.toml -c requirements/dev.txt -o requirements/core.txt
	@for extra in model tools ops slack; do \
		$(COMPILE) pyproject.toml -c requirements/dev.txt --extra $$extra -o requirements/$$extra.txt || exit 1; done
	@printf 'uv\nhatchling\neditables\n' | $(COMPILE) - -c requirements/dev.txt -o requirements/setup.txt
	@! grep -l '://' requirements/*.txt || { echo "These files name a host; they may not."; exit 1; }

clean: ## Stop the services; remove .venv and caches (.stanchion, with the data of your runs, stays)
	@if [ -x $(BIN)/stanchion ]; then $(BIN)/stanchion down || true; fi
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# The stamp is written last: a set-up that was cut half-way begins again.
$(STAMP): pyproject.toml requirements/dev.txt requirements/setup.txt $(BIN)/uv
	@echo "==> Installing requirements/dev.txt into $(VENV), hashes checked"
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes \
		requirements/setup.txt requirements/dev.txt \
		|| { echo "==> uv could not; trying pip, which knows other proxies and certificates"; \
		$(BIN)/python -m pip install --quiet --require-hashes -r requirements/setup.txt -r requirements/dev.txt; }
	@echo "==> Installing the project, editable"
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "==> Ready: $(BIN)/stanchion"

# ensurepip is asked for because Debian ships Python without it.
$(BIN)/uv: requirements/setup.txt
	@for candidate in "$(PYTHON)" python3.11 python3.12 python3.13 python3.14 python3 python; do \
		if [ -n "$$candidate" ] && "$$candidate" -c \
			'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "==> Creating $(VENV) with $$("$$candidate" --version)"; \
			"$$candidate" -m venv --clear $(VENV) || exit 1; \
			$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
				-r requirements/setup.txt || exit 1; \
			touch $@; exit 0; \
		fi; \
	done; \
	echo "No Python 3.11 or newer with venv was found."; \
	echo "Install one (Debian, Ubuntu: python3 and python3-venv; macOS: brew install python), or name it:"; \
	echo "    make setup PYTHON=/path/to/python3.11"; \
	exit 1
