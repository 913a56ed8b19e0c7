# Needs a Python >= 3.11 with pip; everything else goes into .tools and .venv here.
# Where that is not `python3`, say which: make PYTHON=python3.12 ...
PYTHON ?= python3
OUTPUT ?= threestage-demo
# Options for the script behind `latency` and `bench`: make bench ARGS="--quick"
ARGS ?=
export PYTHON

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run dev demo test lint format screenshots latency bench clean distclean

help: ## this list
	@echo "make TARGET [PYTHON=python3.12] [OUTPUT=folder of the demo] [ARGS=options]"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r name text; do \
	    printf '  %-11s %s\n' $$name "$$text"; done

run: ## install the command into .venv (no Qt, no display)
	@tools/bootstrap.sh run

dev: ## install also what the tests and the linters need
	@tools/bootstrap.sh dev

demo: run ## train all stages on made-up images, into OUTPUT
	@echo "==> threestage demo --output $(OUTPUT)"
	@.venv/bin/threestage demo --output "$(OUTPUT)"

test: dev ## linters and tests, those of the GUI on a virtual display
	@tools/test.sh

lint: dev ## linters only
	@tools/lint.sh

format: dev ## put the code into shape
	@echo "==> ruff: repairing and formatting"
	@.venv/bin/ruff check --fix
	@.venv/bin/ruff format

# napari without the preferences of whoever calls this, on a display of the size of a small laptop.
DISPLAYED = xvfb-run -a -s "-screen 0 1366x768x24" env NAPARI_CONFIG= QT_API=pyqt6

screenshots: dev ## pictures of the window in every state, into docs/images
	@echo "==> tools/screenshots.py docs/images"
	@$(DISPLAYED) .venv/bin/python tools/screenshots.py docs/images

latency: dev ## measure whether the window stays alive while a run trains
	@echo "==> benchmarks/gui_latency.py $(ARGS)"
	@$(DISPLAYED) .venv/bin/python benchmarks/gui_latency.py $(ARGS)

bench: dev ## measure speed and memory of steps, input and growth; ARGS=--quick takes minutes
	@echo "==> benchmarks/bench.py $(ARGS)"
	@.venv/bin/python benchmarks/bench.py $(ARGS)

clean: ## remove caches, built distributions and the demo
	@echo "==> removing caches, built distributions and threestage-demo"
	@rm -rf build dist threestage-demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . \( -path ./.venv -o -path ./.tools -o -path ./.git \) -prune -o \
	    -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove also .venv and .tools
	@echo "==> removing .venv and .tools"
	@rm -rf .venv .tools
