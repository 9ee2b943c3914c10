# Needs Python 3.11 or later and, the first time, a network to a package index; the second time neither is asked.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
MEMBERS = core plugins/local_backend plugins/serializers plugins/compressors plugins/executors plugins/killers \
          plugins/redis_backend plugins/mongo_backend
LANES  ?= $(if $(filter mongo,$(STORE)),2,3)
EDIT    = $(foreach member,$(MEMBERS),-e $(member))

.PHONY: help demo test lint models faults soak bench bench-quick wheels clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(BIN)/.ready: pyproject.toml core/pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check hatchling editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation $(EDIT) -e .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

demo: $(BIN)/.ready  ## real work, start to end, with no server installed
	$(BIN)/regiment demo

test: $(BIN)/.ready lint  ## everything, each fault row with 2 seeds and tenths of the periods
	$(BIN)/python -m pytest -q -n 5 --dist loadscope -m "not long" tests/architecture tests/core tests/journeys tests/models tests/plugins
	$(BIN)/python -m pytest -q -n 3 --dist loadfile tests/faults

lint: $(BIN)/.ready  ## ruff and mypy --strict
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	MYPYPATH=tests:benchmark/apps $(BIN)/mypy --no-namespace-packages benchmark

models: $(BIN)/.ready  ## the rules of the stores in small models, explored completely; seconds
	$(BIN)/python -m pytest -q tests/models

faults: $(BIN)/.ready  ## the fault matrix with its full counts, and what takes minutes; STORE=redis: of one store; LANES=2 at a time
	REGIMENT_FAULT_SCALE=full $(BIN)/python -m pytest -m "fault or long" -k "$(STORE)" -n $(LANES) --dist worksteal

soak: $(BIN)/.ready  ## random kills, recycles and restarts for SOAK seconds (1800), then the accounting
	$(BIN)/python -m tests.harness.soak --seconds $(or $(SOAK),1800)

bench: $(BIN)/.ready  ## regiment beside its peers, in MINUTES (60) at most; the same command goes on
	$(BIN)/python -m benchmark --minutes $(or $(MINUTES),60)

bench-quick: $(BIN)/.ready  ## regiment and bare loops only, under 5 minutes
	$(BIN)/python -m benchmark --quick --rounds 1 --seconds 0.8 --minutes 5 --name quick --fresh

wheels: $(BIN)/.ready  ## one wheel for each distribution, in dist/
	for member in $(MEMBERS) .; do $(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist $$member || exit 1; done

clean:  ## the environment and everything built
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache
