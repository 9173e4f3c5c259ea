# `make run` serves the API; `make test` proves it. Everything installs into .venv.

PYTHON ?= python3
# Modules are run by their names: the scripts in .venv/bin do not start in every folder.
RUN := .venv/bin/python
INSTALL := @$(RUN) requirements/install.py

# What the environment says of another Python would mix its packages with ours. Without bytecode, every process
# compiles our modules and the tests anew: that took a sixth of the time of all tests.
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH PYTHONOPTIMIZE PYTHONWARNINGS PYTHONDONTWRITEBYTECODE

# What `make test` runs: everything, or the paths named here.
TESTS :=
# The versions of PostgreSQL that `make postgres-versions` tries.
VERSIONS := 14 15 16 17 18
# How many processes share the tests; where more is waited for than computed, more than there are cores.
WORKERS := 4
SOAK_SECONDS ?= 60
SOAK_REQUESTS ?= 200000

# Committed files in which high entropy is what they are for: hashes.
HASHES := ^requirements/.*\.txt$$|package-lock\.json$$

.PHONY: help setup run demo test coverage pythons postgres-versions soak check image-check bench client generators package nextjs pictures format lock mutants sbom clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-17s %s\n", $$1, $$2 }' Makefile

setup: .venv/runtime ## install the service and its embedded PostgreSQL into .venv

run: .venv/runtime ## serve on http://127.0.0.1:8000, no configuration needed
	@$(RUN) -m todo_api serve

demo: ## try it in a browser: sign in with Better Auth, on http://localhost:3000 (needs Node 20)
	@command -v npm >/dev/null || { echo "The demo needs Node 20 or newer: https://nodejs.org" >&2; exit 1; }
	@echo "  The demo: a page, Better Auth and the Todo API on PostgreSQL. The first start installs them."
	@$(MAKE) --silent --no-print-directory .venv/runtime .venv/web
	@$(RUN) examples/web/run.py

test: .venv/development ## run every test against a real PostgreSQL
	@! command -v npm >/dev/null || $(MAKE) --no-print-directory .venv/node .venv/sign-in .venv/web || echo "Tests that need Node are skipped."
	@$(RUN) -m pytest $(TESTS) -n $(WORKERS) $(COVERAGE)

coverage: ## run every test, and fail where branches of src were not taken
	@$(MAKE) --no-print-directory test COVERAGE=--cov

pythons: .venv/development ## `make test` in a fresh copy, in an awkward folder, under each supported Python found here
	@$(RUN) requirements/pythons.py $(TESTS)

postgres-versions: .venv/development .venv/postgres ## tests of the database under PostgreSQL 14 to 18 (VERSIONS; needs Node 20 on Linux x86-64)
	@$(RUN) -m tests.postgres --versions $(VERSIONS) -- $(TESTS)

soak: .venv/development ## SOAK_SECONDS (60) for each way to break the database and to ask for too much, then SOAK_REQUESTS (200,000) generated requests
	@FAULT_SECONDS=$(SOAK_SECONDS) $(RUN) -m pytest --timeout 1200 tests/faults
	@HOSTILE_SECONDS=$(SOAK_SECONDS) $(RUN) -m pytest --timeout 1200 tests/hostile/test_isolation.py tests/hostile/test_memory.py
	@SOAK_REQUESTS=$(SOAK_REQUESTS) $(RUN) -m pytest --timeout 7200 tests/properties/test_requests.py tests/properties/test_contract.py tests/properties/test_parsers.py

check: .venv/development ## lint, types, import directions, dependencies, lock, advisories, secrets
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(RUN) -c 'from importlinter.cli import lint_imports_command as lint; lint()'
	@$(RUN) -m deptry src
	@$(RUN) requirements/lock.py --check
	@$(RUN) clients/openapi.py --check
	@$(RUN) requirements/audit.py
	@git ls-files -z | xargs -0 $(RUN) -m detect_secrets.pre_commit_hook --cores 2 --no-verify --exclude-files '$(HASHES)' --exclude-secrets '^password$$'

image-check: .venv/development ## carry out the Dockerfile without a container engine, and run the result
	@.venv/bin/hadolint Dockerfile deploy/sign-in.Dockerfile
	@$(RUN) -m deploy.image_check

bench: .venv/development ## measure beside other stacks; see bench/README.md
	@$(RUN) -m bench $(BENCH)

client: .venv/development .venv/node ## generate the OpenAPI document and the TypeScript client anew (needs Node 20)
	@$(RUN) clients/openapi.py
	@npm --prefix clients/typescript run --silent generate
	@npm --prefix clients/typescript run --silent build
	@npm --prefix clients/typescript run --silent document

generators: .venv/development .venv/generators ## what orval and hey-api generate from the OpenAPI document compiles (needs Node 20)
	@$(RUN) -m pytest tests/generators

package: .venv/node ## write the TypeScript client as a tarball, dist/todo-api-client-*.tgz, and check it
	@npm --prefix clients/typescript run --silent check
	@mkdir -p dist
	@npm pack ./clients/typescript --silent --pack-destination dist

nextjs: .venv/nextjs ## build the Next.js example (needs Node 20.9); examples/nextjs/README.md says how to try it
	@NEXT_TELEMETRY_DISABLED=1 BETTER_AUTH_URL=http://localhost:3000 BETTER_AUTH_SECRET=$$(openssl rand -hex 32) \
		npm --prefix examples/nextjs run --silent build

pictures: .venv/runtime .venv/web ## draw the pictures of README.md anew, from the demo's page (needs Node 20 and Chromium)
	@node examples/web/pictures.mjs $(RUN)

format: .venv/development ## let ruff write the layout
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

lock: .venv/development ## resolve pyproject.toml into requirements/*.txt, upgrading everything
	@$(RUN) requirements/lock.py --upgrade

mutants: .venv/development ## change tokens, auth, queries and db in small ways; see docs/mutants.md
	@$(RUN) -m tests.mutants $(MUTANTS)

sbom: .venv/development ## write what production installs to dist/sbom.json (CycloneDX)
	@mkdir -p dist
	@$(RUN) -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml --output-reproducible \
		--output-file dist/sbom.json requirements/production.txt
	@echo dist/sbom.json

clean: ## remove everything that make made, the embedded database included
	rm -rf .venv .data dist mutants clients/typescript/node_modules tests/better_auth/node_modules tests/generators/node_modules \
		tests/postgres/node_modules \
		examples/web/node_modules examples/nextjs/node_modules examples/nextjs/.next

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.12")'
	@$(PYTHON) -c 'import sys; print("Making .venv with Python", sys.version.split()[0])'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

.venv/runtime: pyproject.toml requirements/embedded.txt | .venv/bin/python
	$(INSTALL) lock requirements/embedded.txt
	$(INSTALL) project .
	@touch $@

.venv/development: .venv/runtime requirements/development.txt
	$(INSTALL) lock requirements/development.txt
	@touch $@

# What generates, compiles and tests the TypeScript client.
.venv/node: clients/typescript/package-lock.json | .venv/bin/python
	$(INSTALL) node clients/typescript
	@touch $@

# The real Better Auth server that tests sign in with.
.venv/sign-in: tests/better_auth/package-lock.json | .venv/bin/python
	$(INSTALL) node tests/better_auth
	@touch $@

# Generators of clients that others use; not part of `make test`, because they are 90 MB.
.venv/generators: tests/generators/package-lock.json | .venv/bin/python
	$(INSTALL) node tests/generators
	@touch $@

# PostgreSQL of each supported version; not part of `make test`, because they are 290 MB.
.venv/postgres: tests/postgres/package-lock.json | .venv/bin/python
	$(INSTALL) node tests/postgres
	@touch $@

# The Next.js example, with a copy of the client as it is now.
.venv/nextjs: examples/nextjs/package-lock.json $(wildcard clients/typescript/dist/*) | .venv/bin/python
	$(INSTALL) node examples/nextjs
	@touch $@

# The demo: a Better Auth server, and what drives a browser in its tests.
.venv/web: examples/web/package-lock.json | .venv/bin/python
	$(INSTALL) node examples/web
	@touch $@
