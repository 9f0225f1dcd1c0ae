# One environment in .venv serves every target.  Its stamps are renewed when pyproject.toml changes; the code itself is used in place.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-brokers lint format types docs docs-check bench figures chaos parts clean

PYTHON ?= python3
VENV ?= .venv
TESTS ?= -n auto --dist loadfile
# brokers other than the one everybody has, see tests/brokers.py, and the suites that are run on them
BROKERS ?= kombu rabbitmq
SUITES ?= tests/ext tests/acceptance tests/chaos tests/web
RUN := $(VENV)/bin/python -m
PIP_INSTALL := $(RUN) pip install -qq --disable-pip-version-check

# documents that are printed by the code, as name:module
PAGES := states:jobkit.drawing cli:jobkit.cli.reference benchmarks:benchmarks.page

help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.demo ## see jobkit at work: a Redis, two workers, a beat, Flower and real jobs
	@$(VENV)/bin/jobkit demo

test: parts $(VENV)/.test lint types docs-check ## check everything: style, types, documents, tests (TESTS="…" are pytest's options)
	$(RUN) pytest $(TESTS)

test-brokers: parts $(VENV)/.test ## run what talks to a broker on the others: Redis as kombu has it, and RabbitMQ (half an hour)
	@failed=; for broker in $(BROKERS); do \
	    echo "JOBKIT_TEST_BROKER=$$broker"; JOBKIT_TEST_BROKER=$$broker $(RUN) pytest $(TESTS) $(SUITES) || failed="$$failed $$broker"; \
	done; [ -z "$$failed" ] || { echo "FAILED on:$$failed" >&2; exit 1; }

lint: $(VENV)/.test ## check the style
	$(RUN) ruff check .
	$(RUN) ruff format --check .

format: $(VENV)/.test ## bring the style in order
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

types: $(VENV)/.test ## check the types
	$(RUN) mypy

docs: $(VENV)/.test ## print the documents that come from the code
	@for page in $(PAGES); do $(RUN) $${page#*:} > docs/$${page%:*}.md; done
	@$(RUN) benchmarks.plot > docs/benchmarks.svg

docs-check: $(VENV)/.test
	@for page in $(PAGES); do \
	    $(RUN) $${page#*:} | diff -u docs/$${page%:*}.md - || { echo "docs/$${page%:*}.md is out of date: make docs" >&2; exit 1; }; \
	done

bench: $(VENV)/.test ## compare with plain Celery, side by side, and jobs of each kind with a plain one
	$(RUN) benchmarks
	$(RUN) benchmarks.features

figures: $(VENV)/.test ## measure all there is to measure, on a quiet machine, for this release and its documents (an hour)
	$(RUN) benchmarks --release
	$(RUN) benchmarks.peers --release
	$(RUN) benchmarks.growth --release
	$(RUN) benchmarks.verbs --release
	@$(MAKE) docs

chaos: $(VENV)/.test ## kill, freeze and stop workers and the Redis under 5,000 jobs, then every scenario of faults at full size (CHAOS="…" are options of the first)
	$(RUN) tests.chaos $(CHAOS)
	CHAOS_FULL=1 $(RUN) pytest -rA --timeout 1200 tests/chaos tests/store/test_races.py tests/acceptance/test_lock_storm.py

parts:
	@.ci/parts

clean: ## remove the environment and everything that was made
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here: install Python 3.10 or later, or name one: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "$$($(PYTHON) --version) is too old: Python 3.10 or later is needed. Name one: make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "$(PYTHON) cannot make environments. On Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	@echo "Installing what the demonstration needs into $(VENV) …"
	@$(PIP_INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.test: $(VENV)/.made pyproject.toml
	@echo "Installing what the tests need into $(VENV) …"
	@$(PIP_INSTALL) --editable '.[demo,test,dev]'
	@touch $@ $(VENV)/.demo
