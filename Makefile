# Everything a newcomer needs. `make demo` installs without torch; `make test` installs the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TORCH := torch==2.13.0

.PHONY: demo test check docs bench fuzz soak clean

$(VENV)/.product: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

# torch first: what depends on it would pull a CUDA build. The development group is read from pyproject.toml.
$(VENV)/.development: $(VENV)/.product
	$(PIP) $(TORCH)
	$(PIP) --upgrade "pip>=25.1"
	$(PIP) --group dev
	touch $@

demo: $(VENV)/.product
	rm -rf demo
	$(BIN)/catalogdb demo demo

check: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(BIN)/python -m pytest

# The pages of docs/ that are made from the code: cli.md, fields.md, settings.md. A test holds them equal.
docs: $(VENV)/.development
	$(BIN)/python -m tools.reference

bench: $(VENV)/.development
	$(BIN)/python -m tests.benchmarks

fuzz: $(VENV)/.development
	$(PIP) "atheris>=2.3"
	$(BIN)/python -m tests.fuzz --minutes 20

# Twenty minutes; its outcome goes into docs/reliability.md.
soak: $(VENV)/.development
	$(BIN)/python -m tests.soak --minutes 20 --write

clean:
	rm -rf $(VENV) demo build dist
