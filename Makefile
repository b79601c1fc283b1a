# make demo           installs into .venv and runs the main job on real wafer images
# make serve          serves the bundle of `make demo`, or of a small run on synthetic images that it makes first
# make test           installs into .venv, lints, checks types and runs the tests
# make check          installs into .venv, then lint, types and unit tests: under 2 minutes once mypy has its cache
# make docs           installs into .venv and writes the documentation as a site, build/site/index.html
# make triton         installs a Triton server (no Docker) into .venv-triton, as `make test` does
# make triton-test    does that and runs its tests alone
# `make demo PYTHON=/path/to/python3` chooses the interpreter that makes .venv.

VENV := .venv
BIN := $(VENV)/bin
DEMO_STAMP := $(VENV)/.installed-demo
SERVE_STAMP := $(VENV)/.installed-serve
DEV_STAMP := $(VENV)/.installed-dev
TRITON_VENV := .venv-triton
TRITON_STAMP := $(TRITON_VENV)/.installed
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
# what trains, simulates calibrations by the thousand or starts processes is left to `make test`
UNIT_TESTS := tests/router tests/waferroute tests/test_documents.py \
  $(addprefix --ignore=tests/router/,test_bounds.py test_calibrate.py test_guarantees.py test_canary_arms.py) \
  $(addprefix --ignore=tests/waferroute/,test_library.py test_processes.py test_analysis_commands.py test_explore_command.py test_ray.py)
# Processes that share the test files between them; `make test WORKERS=0` runs all in one, as a debugger wants it.
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: help demo serve test check docs triton triton-test clean
.NOTPARALLEL:

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: $(DEMO_STAMP)
	$(BIN)/waferroute run configs/quickstart.yaml

serve: $(SERVE_STAMP)
	@set -e; bundle=runs/quickstart/bundle; \
	if [ ! -f $$bundle/manifest.json ]; then \
	  bundle=runs/synthetic/bundle; \
	  if [ ! -f $$bundle/manifest.json ]; then \
	    echo "There is no bundle of make demo: training a small one on SYNTHETIC images, which says nothing of real wafers"; \
	    [ -d runs/synthetic-images ] || $(BIN)/waferroute micrographs runs/synthetic-images --normal 320 --test-normal 60 \
	      --defects-per-type 6 --novel-per-type 4; \
	    for stage in data adapt distill calibrate export; do \
	      $(BIN)/waferroute $$stage configs/synthetic_small.yaml; \
	    done; \
	  fi; \
	fi; \
	exec $(BIN)/waferroute serve $$bundle --data runs/service

test: $(DEV_STAMP)
	@$(MAKE) --no-print-directory triton || echo "no Triton server here: its tests are skipped"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST)

# The quick part; `make test` runs all.
check: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(PYTEST) $(UNIT_TESTS)

docs: $(DEV_STAMP)
	$(BIN)/mkdocs build --strict --quiet
	@echo "open build/site/index.html"

triton: $(TRITON_STAMP)

triton-test: $(DEV_STAMP) $(TRITON_STAMP)
	$(BIN)/python -m pytest tests/tool_side/test_triton.py tests/tool_side/test_triton_server.py

# A stamp is written last, so that an interrupted installation is done again. What `test` installs includes all
# that `demo` needs, so it writes both.
$(DEMO_STAMP): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing into $(VENV) ..."
	@$(PIP) install -e ".[train,demo]" -c constraints.txt
	@touch $@

$(SERVE_STAMP): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing into $(VENV) ..."
	@$(PIP) install -e ".[train,demo,serve]" -c constraints.txt
	@touch $(DEMO_STAMP) $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing into $(VENV) ..."
	@$(PIP) install -e ".[train,demo,serve,postgres,mlflow,dev]" -c constraints.txt
	@touch $(DEMO_STAMP) $(SERVE_STAMP) $@

# The package that ships the server wants an older numpy than waferroute, hence an environment of its own.
$(TRITON_STAMP): benchmarks/triton-requirements.txt | $(BIN)/pip
	@echo "Installing into $(TRITON_VENV) ..."
	@$(BIN)/python -m venv $(TRITON_VENV)
	@$(TRITON_VENV)/bin/python -m pip --quiet --disable-pip-version-check install -r $<
	@touch $@

# pip is the last thing that venv installs; making a half-made environment again completes it.
$(BIN)/pip:
	@set -e; found=; \
	for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
	  if "$$candidate" -c '$(NEW_ENOUGH)' 2>/dev/null; then found="$$candidate"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "error: Python 3.11 or newer is needed and was not found; name one with: make PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	if ! "$$found" -m venv $(VENV); then \
	  echo "error: $$found could not make a virtual environment; on Debian and Ubuntu install python3-venv" >&2; \
	  exit 1; \
	fi

clean:
	rm -rf $(VENV) $(TRITON_VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
