# Needs Python 3.11 or newer, git and make. All else is put into .venv, which is this project's own.

PYTHON ?= $(firstword $(shell command -v python3.11 || command -v python3) python3)
BIN := .venv/bin
UV := $(BIN)/uv
CODE := hatch_build.py $(sort $(patsubst %/,%,$(dir $(wildcard authy_grpc/*.py benchmarks/*.py examples/*.py \
	gateway/*.py scripts/*.py)))) tests
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --custom-compile-command "make requirements"

# uv and node trust what the system trusts, as git and pip do.
export UV_SYSTEM_CERTS ?= 1
export NODE_USE_SYSTEM_CA ?= 1
# Containers often forbid bytecode, and then each of the hundreds of programs that tests start compiles all it imports.
unexport PYTHONDONTWRITEBYTECODE

# What `make test` is limited to: T=tests/rpc, DB=sqlite.
T ?=
DB ?=
PYTEST := $(BIN)/python -m pytest $(if $(DB),--db $(DB)) --numprocesses auto --dist worksteal

.PHONY: help setup demo up test test-web quick fix check proof bench protos openapi requirements clean

help:  ## List these targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: .venv/installed  ## Make .venv with all that the other targets need

demo: .venv/installed  ## Tell the whole story in this terminal
	$(BIN)/authy-grpc demo

up: .venv/installed  ## Start service, gateway and example site for development, with their data in .dev/
	AUTHY_DEV=1 AUTHY_HOME=.dev $(BIN)/authy-grpc up --example

test: .venv/installed  ## Run the tests; T=path and DB=sqlite or DB=postgres run a part of them
	$(PYTEST) $(T)

test-web: .venv/installed  ## Run the tests of the pages in real browsers; T=path runs a part of them
	$(BIN)/python -m pytest --web --numprocesses 2 -m web $(or $(T),tests/web)

quick: .venv/installed  ## Run the tests of domain, rpc and gateway on SQLite: about a minute
	$(BIN)/python -m pytest --db sqlite --numprocesses auto --dist worksteal -m "not slow" tests/domain tests/rpc tests/gateway

fix: .venv/installed  ## Format code and contract, mend what ruff can, make the synchronous client anew
	$(BIN)/python scripts/unasync.py
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	$(BIN)/buf format --write protos

check: .venv/installed  ## Lint, check types, layers and the contract
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python scripts/unasync.py --check
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports
	$(BIN)/python scripts/contract.py
	$(BIN)/python -m gateway.openapi --check docs/openapi.json
	$(BIN)/python scripts/modules.py

proof: .venv/installed  ## Run the tests at their full figures; takes hours
	$(PYTEST) --proof $(T)

bench: .venv/installed  ## Measure the speed, and print it as a table
	$(BIN)/python -m benchmarks

protos: .venv/installed  ## Format protos/, and make the stubs in authy_grpc/v1 anew
	$(BIN)/buf format --write protos
	$(BIN)/python hatch_build.py

openapi: .venv/installed  ## Write docs/openapi.json anew
	$(BIN)/python -m gateway.openapi docs/openapi.json

requirements: .venv/installed  ## Pin the newest dependencies that pyproject.toml allows
	$(COMPILE) --upgrade requirements/uv.in --output-file requirements/uv.txt
	$(COMPILE) --upgrade pyproject.toml --extra dev --output-file requirements/dev.txt
	$(COMPILE) --upgrade requirements/peers.in --output-file requirements/peers.txt

clean:  ## Remove all that make has made, but not the data in .dev/
	rm -rf .venv authy_grpc/v1 gateway/web/node_modules gateway/web/scan/qr build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

.venv/required: requirements/uv.txt requirements/dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes \
		--build-constraints requirements/dev.txt requirements/dev.txt
	@touch $@

.venv/installed: .venv/required pyproject.toml hatch_build.py gateway/web/package-lock.json $(wildcard protos/authy_grpc/v1/*.proto)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
