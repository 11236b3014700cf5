# Two commands matter: `make demo` and `make test`. Everything happens in .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test slow cluster faults soak lint audit bench docs clean

RECENT := import sys; sys.exit(not (3, 11) <= sys.version_info)
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  $$python -c '$(RECENT)' 2>/dev/null && { echo $$python; break; }; done)
BIN := .venv/bin
# Each takes ten minutes at most; make bench BENCHES="start greeks" runs some.
BENCHES ?= start cold pointwise greeks regression,nested,long,descent,digits regression,many regression,big \
  taylor,sqrt taylor,chain taylor,MLP scaling cluster memory weights rows lookup_memory gpu

help:
	@echo "make demo    make .venv and sample tasks, run every job in jobs/, show the results"
	@echo "make test    make .venv if missing, run the whole test suite"
	@echo "make slow    the tests that take long to compile, some 5 minutes"
	@echo "make cluster submit to a Ray cluster of three nodes on this machine, some 4 minutes"
	@echo "make faults  kill, damage and fuzz everything, some 30 minutes"
	@echo "make soak    kill one job 200 times at random, some 20 minutes"
	@echo "make lint    formatting, lint, layering and types"
	@echo "make audit   known holes of the pinned packages; needs the network"
	@echo "make docs    these pages as a site, in docs/build"
	@echo "make bench   measure side by side with other ways; one table each"
	@echo "make clean   remove what the above made"

.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "jaxbatch needs Python 3.11 or later: make PYTHON=/path/to/python3"; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: .venv/installed
	$(BIN)/python jobs/demo.py

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal

slow: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

cluster: .venv/installed
	$(BIN)/python -m pytest -m cluster tests/cluster

faults: .venv/installed
	$(BIN)/python -m pytest -n 2 -m "not soak" tests/faults

soak: .venv/installed
	$(BIN)/python -m pytest -m soak tests/faults/test_soak.py

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright --warnings

audit:
	@test -n "$(PYTHON)" || { echo "jaxbatch needs Python 3.11 or later: make PYTHON=/path/to/python3"; exit 1; }
	"$(PYTHON)" -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv/audit/bin/pip-audit --vulnerability-service osv --no-deps --disable-pip --requirement constraints.txt

bench: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	@for each in $(BENCHES); do set -- $${each//,/ }; name=$$1; shift; \
	  echo "== benchmarks/$$name.py $$*"; $(BIN)/python benchmarks/$$name.py "$$@" || exit 1; done

docs: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs,report]'
	$(BIN)/python -m sphinx -W --keep-going --quiet -b html docs docs/build

clean:
	rm -rf .venv docs/build build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache
	rm -rf jobs/tasks jobs/results
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
