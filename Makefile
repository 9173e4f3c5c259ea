# `make run` serves the API; `make test` proves it. Everything installs into .venv.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input

SOAK_SECONDS ?= 60
SOAK_REQUESTS ?= 200000

# Committed files in which high entropy is what they are for: hashes.
HASHES := ^requirements/.*\.txt$$|package-lock\.json$$

.PHONY: help setup run demo test soak check image-check bench client package format lock mutants sbom clean

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: .venv/runtime ## install the service and its embedded PostgreSQL into .venv

run: .venv/runtime ## serve on http://127.0.0.1:8000, no configuration needed
	@$(BIN)/todo-api serve

demo: .venv/runtime ## try it in a browser: sign in with Better Auth, on http://localhost:3000 (needs Node 20)
	@command -v npm >/dev/null || { echo "The demo needs Node 20 or newer: https://nodejs.org" >&2; exit 1; }
	@$(MAKE) --no-print-directory .venv/web
	@$(BIN)/python examples/web/run.py

test: .venv/development ## run every test against a real PostgreSQL, and report branch coverage
	@! command -v npm >/dev/null || $(MAKE) --no-print-directory .venv/node .venv/sign-in .venv/web || echo "Tests that need Node are skipped."
	@$(BIN)/python -m pytest --cov

soak: .venv/development ## SOAK_SECONDS (60) for each way to break the database, then SOAK_REQUESTS (200,000) generated requests
	@FAULT_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest --timeout 1200 tests/faults
	@SOAK_REQUESTS=$(SOAK_REQUESTS) $(BIN)/python -m pytest --timeout 7200 tests/properties/test_requests.py tests/properties/test_contract.py

check: .venv/development ## lint, types, import directions, dependencies, lock, advisories, secrets
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry src
	@$(BIN)/python requirements/lock.py --check
	@$(BIN)/python clients/openapi.py --check
	@$(BIN)/python requirements/audit.py
	@git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --cores 2 --no-verify --exclude-files '$(HASHES)' --exclude-secrets '^password$$'

image-check: .venv/development ## carry out the Dockerfile without a container engine, and run the result
	@$(BIN)/hadolint Dockerfile
	@$(BIN)/python -m deploy.image_check

bench: .venv/development ## measure beside other stacks; see bench/README.md
	@$(BIN)/python -m bench $(BENCH)

client: .venv/development .venv/node ## generate the OpenAPI document and the TypeScript client anew (needs Node 20)
	@$(BIN)/python clients/openapi.py
	@npm --prefix clients/typescript run --silent generate
	@npm --prefix clients/typescript run --silent build
	@npm --prefix clients/typescript run --silent document

package: .venv/node ## write the TypeScript client as a tarball, dist/todo-api-client-*.tgz, and check it
	@npm --prefix clients/typescript run --silent check
	@mkdir -p dist
	@npm pack ./clients/typescript --silent --pack-destination dist

format: .venv/development ## let ruff write the layout
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: .venv/development ## resolve pyproject.toml into requirements/*.txt, upgrading everything
	@$(BIN)/python requirements/lock.py --upgrade

mutants: .venv/development ## change tokens, auth, queries and db in small ways; see docs/mutants.md
	@$(BIN)/python -m tests.mutants $(MUTANTS)

sbom: .venv/development ## write what production installs to dist/sbom.json (CycloneDX)
	@mkdir -p dist
	@$(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible \
		--output-file dist/sbom.json requirements/production.txt
	@echo dist/sbom.json

clean: ## remove everything that make made, the embedded database included
	rm -rf .venv .data dist mutants clients/typescript/node_modules tests/better_auth/node_modules examples/web/node_modules

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/runtime: pyproject.toml requirements/embedded.txt | .venv/bin/python
	@$(INSTALL) --no-deps --require-hashes -r requirements/embedded.txt
	@$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

.venv/development: .venv/runtime requirements/development.txt
	@$(INSTALL) --no-deps --require-hashes -r requirements/development.txt
	@touch $@

# What generates, compiles and tests the TypeScript client.
.venv/node: clients/typescript/package-lock.json | .venv/bin/python
	@npm ci --prefix clients/typescript --silent --fetch-retries 1
	@touch $@

# The real Better Auth server that tests sign in with.
.venv/sign-in: tests/better_auth/package-lock.json | .venv/bin/python
	@npm ci --prefix tests/better_auth --silent --fetch-retries 1
	@touch $@

# The demo: a Better Auth server, and what drives a browser in its tests.
.venv/web: examples/web/package-lock.json | .venv/bin/python
	@npm ci --prefix examples/web --silent --fetch-retries 1
	@touch $@
