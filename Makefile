PYTHON ?= python3
RUN := .venv/bin/python
TESTS ?= tests

.PHONY: run test check bench soak sbom mutants generate clean environment

run: environment  ## Everything on this machine: emulators, functions, demo course, page
	@exec $(RUN) -m local --under-make

test:  ## The suite, on real emulators and a real browser
	@$(PYTHON) local/bootstrap.py --browser
	@# What is imported in hundreds of processes is compiled once, also where the shell would rather not.
	@exec env -u PYTHONDONTWRITEBYTECODE $(RUN) -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(TESTS)

check: environment  ## Lint, format, types, import contracts, generated files
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	.venv/bin/lint-imports
	$(RUN) -m tooling.generate --check
	$(RUN) -m tooling.security
	npx --no-install tsc --noEmit -p web

bench: environment  ## The ratios, as a table and bench/results.json
	@exec env -u PYTHONDONTWRITEBYTECODE $(RUN) -m tests.bench

soak: environment  ## The release column of docs/reliability.md; goes on where it was interrupted
	@exec $(RUN) -m tests.soak $(SOAK)

sbom: environment  ## What a deployment installs, as CycloneDX: sbom.json
	.venv/bin/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --of JSON -o sbom.json

mutants: environment  ## Changes the core in small ways, and counts those that no test notices
	@exec $(RUN) -m tooling.mutants $(MUTANTS)

generate: environment  ## What is made from the registry; TIER=medium or large, REGION, BIND="LECTERN_REDIS_URL ..."
	@exec $(RUN) -m tooling.generate $(if $(TIER),--tier $(TIER)) $(if $(REGION),--region $(REGION)) $(BIND:%=--secret %)

clean:  ## Remove what the other targets made
	rm -rf .venv venv node_modules web/node_modules .local web/dist bench .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

environment:
	@$(PYTHON) local/bootstrap.py
