# Each target works on a machine that has only Python >= 3.11 and make: .venv is made when it is missing.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# In force in every install, isolated builds included, so that torch stays at the pinned version.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, each of the tests' processes would compile torch and all else again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: train test recipes faults lint format bench docs clean

train: .venv/.run
	@$(BIN)/train $(ARGS)

# PASSIVE: threads that wait for each other leave their core to others; some tests train with two.
test: .venv/.dev
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -n 2 --dist worksteal $(ARGS)

# The whole of scale=smoke for every recipe, one after the other; COULOIR_DATA names the folder of the real data.
recipes: .venv/.dev
	COULOIR_WHOLE_RECIPES=1 $(BIN)/pytest --durations=0 tests/experiment $(ARGS)

# Kills, signals, full disks, damaged files, mistakes in words and files, everything made again: long.
faults: .venv/.dev
	COULOIR_ALL_FAULTS=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest --durations=0 tests/faults tests/diagnosis tests/model tests/test_docs.py $(ARGS)
	COULOIR_ALL_FAULTS=1 OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest --durations=0 -m slow tests $(ARGS)

lint: .venv/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv/.dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# What the machine can: half an hour on two cores; COULOIR_DATA names the folder of the real data.
bench: .venv/.dev
	$(BIN)/pip install --quiet -e '.[dev,bench]'
	for name in startup end loop settings folder data predict table scaling sweep search report gpu; do $(BIN)/python benchmarks/bench_$$name.py || exit 1; done

docs: .venv/.run
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python docs/build.py

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Couloir needs Python 3.11 or newer; name one with make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.run: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing into .venv ..."
	$(BIN)/pip install --quiet -e .
	@touch $@

# --no-compile: of the libraries' modules a few are used, and Python compiles those when it first does.
.venv/.dev: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing into .venv, with the tools for tests ..."
	$(BIN)/pip install --quiet --no-compile -e '.[dev]'
	@touch $@ .venv/.run
