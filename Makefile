# Needs Python 3.11 or later and, the first time, a network to a package index; the second time neither is asked.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
# A distribution is a folder with a pyproject.toml: whoever adds one writes it there, and nowhere else.
MEMBERS = core $(patsubst %/pyproject.toml,%,$(sort $(wildcard plugins/*/pyproject.toml)))
SOURCES = $(wildcard core/src/* plugins/*/src/* examples/plugins/*/src/*)
LANES  ?= $(if $(filter mongo,$(STORE)),2,3)
EDIT    = $(foreach member,$(MEMBERS),-e $(member))

.PHONY: help demo test fuzz lint models faults soak bench bench-quick bench-flows bench-results bench-growth picture pictures docs wheels clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(BIN)/.ready: pyproject.toml core/pyproject.toml $(wildcard plugins/*/pyproject.toml) tests/requirements.txt docs/site/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check hatchling editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation $(EDIT) -e .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

demo: $(BIN)/.ready  ## real work, start to end, with no server installed
	$(BIN)/regiment demo

test: $(BIN)/.ready $(if $(k),,lint)  ## everything, each fault row with 2 seeds and tenths of the periods; k=NAME: what bears this name
ifdef k
	$(BIN)/python -m pytest -q -m "not long" -k "$(k)" tests
else
	$(BIN)/python -m pytest -q -n 5 --dist loadscope -m "not long" --ignore tests/faults tests
	$(BIN)/python -m pytest -q -n 3 --dist loadfile tests/faults
endif

fuzz: $(BIN)/.ready  ## chance against whatever reads what others wrote, FUZZ seconds each (600)
	FUZZ=$(or $(FUZZ),600) $(BIN)/python -m pytest -q -n 2 --dist worksteal tests/fuzz

lint: $(BIN)/.ready  ## ruff, static security checks included, and mypy --strict
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy $(SOURCES)
	MYPYPATH=tests:benchmark/peers/apps:examples/plugins/postgres_connector/tests $(BIN)/mypy --no-namespace-packages benchmark

models: $(BIN)/.ready  ## the rules of the stores in small models, explored completely; seconds
	$(BIN)/python -m pytest -q tests/models

faults: $(BIN)/.ready  ## the fault matrix with its full counts, and what takes minutes; STORE=redis: of one store; LANES=2 at a time
	REGIMENT_FAULT_SCALE=full $(BIN)/python -m pytest -m "fault or long" -k "$(STORE)" -n $(LANES) --dist worksteal

soak: $(BIN)/.ready  ## random kills, recycles and restarts for SOAK seconds (1800), then the accounting
	$(BIN)/python -m tests.harness.soak --seconds $(or $(SOAK),1800)

bench: $(BIN)/.ready  ## regiment beside its peers, in MINUTES (60) at most; the same command goes on; REDIS="7 6.2": on both
	$(BIN)/python -m benchmark --minutes $(or $(MINUTES),60) $(if $(REDIS),--redis $(REDIS))

bench-results: $(BIN)/.ready  ## results beside those of the peers, and what they cost; about 6 minutes; BESIDE=CHECKOUT
	$(BIN)/python -m benchmark --systems regiment celery rq dramatiq huey saq taskiq streaq \
		--phases wait waiters kept $(if $(BESIDE),beside --beside $(BESIDE)) \
		--rounds 1 --seconds 1 --minutes 10 --anyhow --wait 0 --name results --fresh --show

bench-flows: $(BIN)/.ready  ## chains and chords beside those of the peers; about 10 minutes
	$(BIN)/python -m benchmark --systems regiment celery rq dramatiq huey taskiq streaq --phases chain chord \
		--rounds 1 --seconds 1 --minutes 12 --anyhow --wait 0 --name flows --fresh --show

bench-growth: $(BIN)/.ready  ## what tasks, consumers and queues cost as they become many, up to TASKS (10,000: minutes); BESIDE=CHECKOUT
	$(BIN)/python -m benchmark --systems regiment --phases growth --rounds 1 --anyhow --wait 0 --name growth --fresh --show \
		--growth-tasks $(or $(TASKS),10000) --growth-consumers 1000 --growth-queues 1000 --growth-pushes $(or $(TASKS),10000) \
		$(if $(BESIDE),--beside $(BESIDE))

bench-quick: $(BIN)/.ready  ## regiment and bare loops only, under 5 minutes
	$(BIN)/python -m benchmark --quick --rounds 1 --seconds 0.8 --minutes 5 --name quick --fresh

picture: $(BIN)/.ready  ## draw who imports whom into docs/architecture.md
	$(BIN)/python tests/architecture/house.py

docs: $(BIN)/.ready  ## the documentation site, in build/site; a link that leads nowhere, or a page in no navigation, is an error
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c docs/site . build/site
	@echo "open build/site/index.html"

pictures: $(BIN)/.ready  ## every page of the dashboard, light and dark, wide and narrow, in dist/pictures
	$(BIN)/python tests/dashboard/pictures.py dist/pictures

wheels: $(BIN)/.ready  ## one wheel for each distribution, in dist/
	for member in $(MEMBERS) .; do $(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w dist ./$$member || exit 1; done

clean:  ## the environment and everything built
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache
