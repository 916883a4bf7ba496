# Common tasks; `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TRITON_STAMP := $(VENV)/.triton-installed
# Every module by name, as pdoc stops at packages that list their public names; at the others it goes
# on by itself and then warns of modules named twice.
MODULES = $(shell cd src && find sus2bench -name '*.py' ! -name '__main__.py' \
	| sed 's|/__init__.py||; s|\.py$$||; s|/|.|g' | sort)
# One thread per process: tests and demo run two processes side by side.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-external lint docs clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-13s %s\n", $$1, $$2}'

install: $(STAMP) ## make .venv and install the package with its tools, versions as in constraints.txt

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev,docs,tensorboard,wandb,optimizers,store,sweeps,report]'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[truth]' \
		|| echo 'calorine needs a C++ compiler: without it the tests of NEP against GPUMD are skipped'
	touch $@

# Apart, because it is large and only tests need it.
$(TRITON_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[triton]' \
		|| echo 'Triton could not be installed: without it the tests of its kernels are skipped'
	touch $@

demo: install ## train SUS2, SchNet and PaiNN on the same alloys and compare them (about 4 minutes)
	$(BIN)/python scripts/compare_models.py

test: install $(TRITON_STAMP) ## the whole test suite, two processes
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

test-external: install ## models of other packages, in two environments of their own (.nox/)
	$(BIN)/nox

lint: install ## ruff, mypy --strict, import order
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install ## the API pages, to api/index.html
	PYTHONWARNINGS=ignore $(BIN)/pdoc --docformat google --math --output-directory api $(MODULES)

clean: ## remove caches, builds and the demo's output; runs, results and .venv stay
	rm -rf build dist api demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
