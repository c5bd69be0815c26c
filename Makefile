# make demo: everything from a fresh clone to a picture.  make test: everything to a tested checkout.
# make docs: the pages, in build/site.  make package: wheel and sdist, tried in an environment of their own.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint docs package format clean

demo: $(VENV)/.installed
	$(BIN)/unetkit demo --overwrite

test: $(VENV)/.installed
	$(BIN)/pytest --numprocesses logical --maxprocesses 4 --dist worksteal

lint: $(VENV)/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict unetkit benchmarks

docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

package: $(VENV)/.installed
	$(PYTHON) .ci/try_package.py $(BIN)/python

format: $(VENV)/.installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
