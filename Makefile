# make install | demo | test | check | test-real | bench. Each does all that it needs; nothing outside this folder changes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
# Two cores are enough; more workers than cores make real-time tests crowd each other.
JOBS ?= 2

.PHONY: install demo test check test-real bench compiled test-compiled docs case-study lock clean

install: $(VENV)/.runtime

$(VENV)/.runtime: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit("Penstock needs Python >= 3.11; set PYTHON=") if sys.version_info < (3, 11) else 0'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing penstock into $(VENV)" >&2
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@

demo: install
	@$(BIN)/penstock demo --out out/demo

test: $(VENV)/.dev
	$(BIN)/pytest -n $(JOBS) -m "not browser and not slow and not oracle and not cluster and not compiled"

check: $(VENV)/.dev
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test-real: $(VENV)/.dev
	$(BIN)/pytest -m "(browser or slow or oracle or cluster or compiled) and not keda and not prometheus"

bench: $(VENV)/.dev
	@for bench in benchmarks/bench_*.py; do echo "== $$bench" >&2; $(BIN)/python $$bench || exit 1; done

# The same source with the hot loop compiled by mypyc, in an environment of its own; needs a C compiler.
COMPILED := .venv-compiled
compiled:
	@test -x $(COMPILED)/bin/python || $(PYTHON) -m venv $(COMPILED)
	@$(COMPILED)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(COMPILED)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@copy=$$(mktemp -d) && cp -r pyproject.toml README.md LICENSE src $$copy && \
	  HATCH_BUILD_HOOK_ENABLE_MYPYC=true $(COMPILED)/bin/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall $$copy; \
	  code=$$?; rm -rf $$copy; exit $$code

test-compiled: compiled
	$(COMPILED)/bin/pytest tests/engine tests/router tests/kvcache tests/simulator tests/worker tests/autoscale -m "not browser and not slow and not oracle and not compiled"

docs: $(VENV)/.dev
	@$(BIN)/python docs/generate.py

case-study: $(VENV)/.dev
	@$(BIN)/python docs/case_study.py

lock: $(VENV)/.dev
	$(PIP) uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate pyproject.toml lock/build.in -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate -c requirements.lock --group dev -o requirements-dev.lock

clean:
	rm -rf $(VENV) $(COMPILED) out .mypy_cache .ruff_cache .hypothesis
