# `make demo` and `make test` set up everything they need on a machine with Python 3.11 and make.

SHELL = /bin/sh
BIN = .venv/bin
LOWEST = .venv-lowest
STAMP = .venv/.installed
# Where the demonstration keeps what it fetched.
DEMO_FOLDER = .demo
# For example: make test PYTEST="-k listing -x"
PYTEST =
# As many tests at once as there are cores; make test WORKERS=0 for one after the other, in one process.
WORKERS = auto
PARALLEL = -n $(WORKERS) --dist loadgroup

.DEFAULT_GOAL = help
.PHONY: help setup xdelta3 archivers servers aws original valgrind contenders demo test lint pytest bench bench-quick budgets compatibility format docs recording proofs torture fuzz test-lowest lock clean

help: ## what can be made
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: $(STAMP) xdelta3 ## .venv and xdelta3, if they are missing

$(STAMP): pyproject.toml requirements-dev.lock
	@tools/bootstrap.sh venv
	@touch $@

xdelta3:
	@tools/bootstrap.sh xdelta3

archivers:
	@tools/bootstrap.sh archivers

servers:
	@tools/bootstrap.sh servers

aws:
	@tools/bootstrap.sh aws

original:
	@tools/bootstrap.sh original

contenders: setup servers aws original
	@tools/bootstrap.sh s5cmd

valgrind:
	@tools/bootstrap.sh valgrind

demo: setup ## the main job, end to end, on a local S3 server
	@$(BIN)/dg demo --folder $(DEMO_FOLDER)

test: lint pytest ## everything that CI checks

lint: $(STAMP) ## style, types, and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/s3_types.py --check

pytest: setup archivers servers aws original valgrind ## the tests alone
	$(BIN)/python -m pytest $(PARALLEL) $(PYTEST)

recording: setup ## the moving picture of the README, from a real run
	$(BIN)/python tools/recording.py

proofs: setup archivers servers ## the long forms of the tests
	$(BIN)/python -m pytest -m slow --timeout 0 $(PYTEST)

torture: setup archivers servers original ## the proofs at full length: schedules, faults, kills, mutations, cancellations; one table at the end
	$(BIN)/python -m pytest tests/torture tests/explorer tests/test_concurrency.py tests/interop/test_races.py --torture --timeout 0 $(PARALLEL) $(PYTEST)

fuzz: $(STAMP) ## the readers of headers and metadata on 100,000 inputs each (FUZZ_EXAMPLES=...)
	$(BIN)/python -m pytest tests/fuzz --hypothesis-profile fuzz --timeout 0 $(PYTEST)

bench: contenders ## beside the original, aws s3 and s5cmd: docs/benchmarks.md, in some 25 minutes
	@tools/bootstrap.sh pictures
	$(BIN)/python -m benchmarks
	.venv-bench/bin/python -m benchmarks.pictures

bench-quick: contenders ## the same with smaller files, in five minutes, on the terminal (ONLY="--only wheels")
	$(BIN)/python -m benchmarks --quick $(ONLY)

budgets: setup valgrind ## tests/budgets/budgets.txt, from what the fixed workloads take now
	$(BIN)/python -m tests.budgets.measure

compatibility: $(STAMP) ## the table of operations in docs/compatibility.md, from botocore's description and the tests
	$(BIN)/python -m tests.differential.page

format: $(STAMP) ## put the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(STAMP) ## docs/sdk.md and docs/commands.md, from the docstrings and help texts
	$(BIN)/python tools/sdk_page.py
	$(BIN)/python tools/cli_page.py

test-lowest: $(STAMP) xdelta3 archivers servers aws original valgrind ## the tests, on the oldest dependencies that pyproject.toml allows
	@tools/versions.sh lowest $(LOWEST)
	$(LOWEST)/bin/python -m pytest $(PARALLEL) $(PYTEST)

lock: $(STAMP) ## newer versions into requirements-dev.lock
	@tools/versions.sh lock

clean: ## remove everything that was made here
	rm -rf .venv .venv-aws .venv-original .venv-s5cmd .venv-bench .servers .bench $(LOWEST) $(DEMO_FOLDER) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
