# One virtual environment for every target; installed once, again only when the requirements change.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.docs-installed

.PHONY: setup demo test check bench bench-quick docs picture clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/wtal demo --out demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m "not slow"

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m benchmarks.names

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# Some minutes, printed only.
bench-quick: $(STAMP)
	$(BIN)/python -m benchmarks evaluation peers training

# The site, into site/. A broken link is an error.
docs: $(DOCS_STAMP)
	$(BIN)/python -m docs.tables
	$(BIN)/python -m zensical build --strict --clean

$(DOCS_STAMP): $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

picture: demo
	cp demo/timelines.png docs/timelines.png

clean:
	rm -rf $(VENV) demo runs site .cache
