# Everything sets itself up: Debian 12 or newer with python3 (3.11+) and make is enough, as root or not.
SHELL := /bin/bash
PYTHON ?= python3
# More than there are processors: most tests wait for servers, locks and children. Who is done takes tests from the
# others: the longest lie side by side, and one worker would sit over them for minutes.
TEST_JOBS ?= 4
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
COMPILE = $(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --quiet -o constraints.txt

.DEFAULT_GOAL := help
.PHONY: help setup restics engine demo picture test test-oldest check check-style bench soak clean constraints

help:  ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1	\2/p' Makefile | expand -t 22

$(READY): constraints.txt pyproject.toml .ci/setup
	@PYTHON="$(PYTHON)" .ci/setup $(VENV)
	@touch $@

setup: $(READY)  ## the virtual environment, from pinned and hashed packages

restics: $(READY)
	@$(BIN)/python -m resticwrap.restic.install --quiet --suite trixie --suite sid

engine: $(READY)  ## a Docker engine, compose and the images for the tests that use them; installs as root
	@.ci/engine
	@$(BIN)/python -m tests.servers.engine

demo: $(READY)  ## back up, change, back up, verify, restore and compare the example data
	@bash examples/demo.sh

picture: $(READY)  ## draw docs/status.svg anew from the example data
	@$(BIN)/python examples/picture.py docs/status.svg

test: $(READY) restics  ## the test suite, with the oldest and the newest restic
	$(BIN)/pytest -n $(TEST_JOBS) --dist worksteal -m "not soak" $(ARGS)

test-oldest: export RW_TEST_RESTIC := oldest
test-oldest: test  ## the same suite, all of it on the oldest restic

check-style: $(READY)  ## lint, format, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

check: check-style test  ## everything that must hold before a review

bench: $(READY) restics  ## measure against bare restic; prints a table and writes JSON
	$(BIN)/python -m benchmarks $(ARGS)

soak: $(READY) restics  ## the same faults in large counts
	$(BIN)/pytest -m soak $(ARGS)

constraints: $(READY)  ## pin the newest versions of all dependencies again
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	$(COMPILE) --upgrade

clean:  ## remove what make made; restic stays in the user's cache
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
