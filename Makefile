# One virtual environment for every target; installed once, again only when the requirements change.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.docs-installed

.PHONY: setup demo test test-slow check check-js build bench bench-quick docs figure clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	$(BIN)/wtal demo --out demo

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow"

# Tests that take more than a few seconds each, in one process: Ray can crash in a worker of pytest-xdist.
test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m benchmarks names
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory check-js; else echo "npm not found: skipping JavaScript checks"; fi

# The JavaScript and CSS of the web page and the report: prettier, eslint and tsc.
check-js: node_modules/.installed
	npm run --silent check

node_modules/.installed: package.json
	npm install --silent --no-package-lock --no-audit --no-fund
	@touch $@

# A wheel in dist/, installed into an empty environment to see that it works without the clone.
build:
	rm -rf dist build/smoke
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(PYTHON) -m venv build/smoke
	build/smoke/bin/pip install --quiet --disable-pip-version-check -c constraints.txt dist/*.whl
	cd build && smoke/bin/wtal --version && smoke/bin/wtal doctor && smoke/bin/python -c "import wtal; print(dir(wtal))"

# Hours. Replaces the measured sections of benchmarks/RESULTS.md; notes beside them are kept.
bench: $(STAMP)
	$(BIN)/python -m benchmarks all --write

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

figure: demo
	cp demo/timelines.png docs/timelines.png

clean:
	rm -rf $(VENV) node_modules demo runs site .cache
