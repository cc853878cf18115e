# Each target does all of its own set-up; set-up that is already done is skipped by the stamps in .venv/.
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

# What a shell may carry that would bend a run: other environments, settings of an installation, options of the tools.
LEAKS := $(filter-out GATEHOUSE_TEST_%,$(filter GATEHOUSE_% FLASK_% PYTHON% PYTEST_% DJANGO_% MYPY% RUFF_%,$(.VARIABLES)))
unexport $(LEAKS) VIRTUAL_ENV PIP_USER PIP_TARGET PIP_PREFIX PIP_CONSTRAINT PIP_NO_BUILD_ISOLATION PIP_REQUIRE_VIRTUALENV

PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input install --quiet
RECENT := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON3 = $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" $(RECENT) 2>/dev/null && { echo "$$name"; break; }; done)
# Matters of taste that the linter has no way to see right in macros; mail needs inline styles, and browsers without a
# script are sent on to the provider at once (WCAG technique H76).
DJLINT := --ignore H015,H020,H030,H031,H053 --per-file-ignores ^templates/mail/ H021 \
	--per-file-ignores ^templates/client/intake/leaving.html H052

.PHONY: help demo demo-reset test lint check prove bench screenshots
help: ## Say what there is
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' Makefile | expand -t 20

demo: .venv/app.stamp ## Serve the demo on http://localhost:8000
	@exec $(PY) -m flask demo

demo-reset: .venv/app.stamp ## Serve the demo, starting over
	@exec $(PY) -m flask demo --reset

test: .venv/dev.stamp ## Run every test; ARGS="-k word" narrows it
	@$(PY) -m tests.support.browser
	$(PY) -m pytest -n 3 --dist worksteal $(ARGS)

lint: .venv/dev.stamp ## Check style, types and templates
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m djlint --lint --quiet --profile jinja $(DJLINT) templates

screenshots: .venv/dev.stamp ## Take a picture of every screen into screenshots/
	@$(PY) -m tests.support.browser
	@$(PY) -m tests.screens screenshots

check: lint test ## What CI runs: lint, then test

prove: .venv/dev.stamp ## Run the long proofs and write their figures to docs/figures.md; ARGS="-k word" narrows it
	@$(PY) -m tests.support.browser
	$(PY) -m pytest --prove -n 2 --dist worksteal -m "not alone" $(ARGS) || [ $$? -eq 5 ]
	$(PY) -m pytest --prove -m alone $(ARGS) || [ $$? -eq 5 ]

bench: .venv/dev.stamp .venv/bench.stamp ## Measure how fast it is, each figure beside its floor; ARGS="word" narrows it
	@$(PY) -m bench $(ARGS)

.venv/bin/python:
	@test -n "$(PYTHON3)" || { echo "Gatehouse needs Python 3.11 or newer: install the package python3." >&2; exit 1; }
	@$(PYTHON3) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "Gatehouse needs Python's venv module: install the package python3-venv." >&2; exit 1; }
	@echo "Making the virtual environment"
	@$(PYTHON3) -m venv --clear .venv

.venv/app.stamp: .venv/bin/python constraints/app.txt pyproject.toml hatch_build.py
	@echo "Installing what the application needs"
	@$(PIP) --require-hashes -r constraints/app.txt
	@$(PIP) --no-deps -e .
	@touch $@

.venv/dev.stamp: .venv/app.stamp constraints/dev.txt
	@echo "Installing what the tests need"
	@$(PIP) --require-hashes -r constraints/dev.txt
	@touch $@

.venv/bench.stamp: .venv/dev.stamp constraints/bench.txt
	@echo "Installing what the benches measure against"
	@$(PIP) --require-hashes -r constraints/bench.txt
	@touch $@
