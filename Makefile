# `make demo` and `make test` do all their set-up; `make help` lists the rest.
SHELL := bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SNAKEFILES := Snakefile workflow
INSTALL := $(BIN)/python -m pip install --quiet --require-hashes --no-deps -r
BUDGET ?= 20m
OUT ?= results/gpu
DEVICE ?= cuda
# whole files to each worker, in the order of tests/conftest.py; a dead worker ends the session. One worker more than
# the two cores that this is for: tests of the pipeline and of Slurm wait a good deal
PYTEST := pytest -n 3 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
TRAININGS ?= $(patsubst %,config/%.yaml,cifar10-paper cifar10-short mnist-short cifar10-ranking vgg11-short)

# Recipes find the tools of the environment whether or not it is activated.
export PATH := $(abspath $(BIN)):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo test test-all smoke gpu figures docs report lint format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "linconv needs Python 3.11 or newer, and '$(PYTHON)' is not; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
# in two parts of equal size, side by side: pip unpacks on one core
	awk -v part=$(VENV)/lock '/^[a-z]/ {n = /^(nvidia|cuda)-/ ? 1 : 2} n {print > (part n)}' requirements.lock
	$(INSTALL) $(VENV)/lock1 & $(INSTALL) $(VENV)/lock2 && wait $$!
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps --editable .
	touch $@

demo: $(READY) ## train, measure and render the default experiment, then show its table
	snakemake
	@echo; echo "tables:  results/digits/tables"; echo "figures: results/digits/figures"
	@echo "report:  results/digits/report.html"; echo
	@cat results/digits/tables/table1.md

test: $(READY) ## run the test suite, without the tests that take minutes
	$(PYTEST) -m 'not slow'

test-all: $(READY) ## run every test
	$(PYTEST)

smoke: $(READY) ## run every stage of the pipeline on small data
	snakemake --configfile config/smoke.yaml

gpu: ## check, time and train what fits into BUDGET on this machine's GPU, into OUT (torch >= 2.11; no Snakemake needed)
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m linconv.cli session config/gpu.yaml $(TRAININGS:%=--train %) --budget $(BUDGET) --output $(OUT) --device $(DEVICE)

figures: $(READY) ## render the committed reference results into build/reference, without training
	python docs/render_reference.py

docs: $(READY) ## build the documentation site into build/site; a warning is an error
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

report: $(READY) ## one HTML page on the default experiment's results
	linconv report results/digits

lint: $(READY) ## check style, types, imports and the workflow
	ruff check
	ruff format --check
	snakefmt --check $(SNAKEFILES)
	snakemake --lint
	mypy
	lint-imports
	python docs/embed_tables.py --check
	python docs/answer.py --check

format: $(READY) ## format the code and the workflow
	ruff check --fix
	ruff format
	snakefmt $(SNAKEFILES)

# setuptools is locked too: the package itself is built without isolation, so no unlocked build tool is fetched.
lock: $(READY) ## pin all dependencies again, with hashes
	$(BIN)/python -m pip install --quiet 'uv>=0.9'
	echo 'setuptools>=77' | uv pip compile pyproject.toml - --all-extras --universal --python-version 3.11 \
	  --constraints <(printf '%s\n' torch==2.14.1 torchvision==0.29.1) --generate-hashes --no-annotate \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --quiet --upgrade -o requirements.lock

clean: ## remove what is rendered, the results of the default and the smoke experiment, and caches
	rm -rf build/reference results/digits results/smoke .snakemake .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
