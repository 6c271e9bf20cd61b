# Each target sets up its own environment from nothing; PYTHON chooses the interpreter (3.11 to 3.13).
PYTHON ?= python3
VENV ?= .venv
OLDEST ?= .venv-oldest
BIN := $(VENV)/bin

.PHONY: help install demo test test-oldest lint audit bench weights docs docs-version package release-check clean

help:
	@echo "make demo   see it work: writes pictures into demo/"
	@echo "make test   run all tests, the slow ones too"
	@echo "make test-oldest  every command once with the oldest versions that are allowed"
	@echo "make lint   ruff, mypy and the order of imports"
	@echo "make audit  ask PyPI which installed versions have known weaknesses"
	@echo "make bench  measure speed and memory; renews docs/performance.md"
	@echo "make weights  train the model of Blocks that ships, from nothing (hours)"
	@echo "make docs   build the documentation into site/"
	@echo "make docs-version VERSION=1.0  commit the documentation of a version to the branch gh-pages"
	@echo "make package  build wheel and source archive into dist/, and look at them"
	@echo "make release-check  package, and try the wheel in an empty environment"

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,crf,spacy,web,serve,mcp,onnx,openvino,heic,ray]"
	touch $@

install: $(VENV)/.installed

demo: install
	$(BIN)/python examples/demo.py --out demo

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadscope --ignore tests/web
	sh tests/web/install_browser.sh
	$(BIN)/python -m pytest tests/web

test-oldest:
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --constraint constraints-oldest.txt --editable ".[onnx]"
	OMP_NUM_THREADS=1 $(OLDEST)/bin/python tests/smoke.py --exports

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

audit: install
	$(BIN)/python -m pip install --quiet pip-audit
	$(BIN)/python tests/audit.py

bench: install
	$(BIN)/python -m benchmarks.run --out benchmarks/results.json --docs docs/performance.md

weights: install
	$(BIN)/python examples/train_blocks_model.py --work runs/shipped --out src/cmpc/weights/blocks \
	    --examples src/cmpc/weights/examples/blocks

docs: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[docs]"
	$(BIN)/mkdocs build --strict

# One folder a version on the branch gh-pages, which is not pushed: look at it with "mike serve" first.
docs-version: docs
	@test -n "$(VERSION)" || { echo "say which: make docs-version VERSION=1.0" >&2; exit 2; }
	$(BIN)/mike deploy --update-aliases "$(VERSION)" latest
	$(BIN)/mike set-default latest

package: install
	rm -rf dist
	$(BIN)/pyproject-build
	$(BIN)/twine check --strict dist/*
	$(BIN)/python tests/release.py dist

release-check: package
	$(BIN)/python tests/release.py dist --install

clean:
	rm -rf $(VENV) $(OLDEST) build dist site demo .pytest_cache .mypy_cache .ruff_cache
