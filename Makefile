# SPDX-License-Identifier: Apache-2.0
#
# `make demo` and `make test` each need only a Python 3.11-3.13 with its headers and venv, a C++
# compiler and make. Everything else goes into .venv, at the versions in .ci/requirements/.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# What a person's own shell sets for other work must not change what happens in .venv.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONUSERBASE PYTHONDONTWRITEBYTECODE PYTHONOPTIMIZE
unexport PYTHONSAFEPATH PYTHONWARNINGS PYTEST_ADDOPTS PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT
unexport PIP_CONSTRAINT PIP_NO_COMPILE SKBUILD_CMAKE_ARGS SKBUILD_CMAKE_DEFINE
unexport PXR_PLUGINPATH_NAME PXR_AR_DEFAULT_SEARCH_PATH OPENASSETIO_DEFAULT_CONFIG BIFROST_HOME
export PYTHONNOUSERSITE := 1

# The first Python that fits; `make PYTHON=…` takes another.
PYTHON ?= $(shell for name in python3.11 python3 python3.12 python3.13; do \
  "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
  && echo "$$name" && break; done)

VENV := .venv
STAMPS := $(VENV)/stamps
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check --no-input
# Folders too: a file that was removed changes its folder. Caches would change it for nothing.
SOURCES := $(shell find python resolver -name __pycache__ -prune -o -print 2>/dev/null)
BUILD_FILES := CMakeLists.txt pyproject.toml plugInfo.json
CXX_FILES := $(shell find resolver tests benchmarks -name '*.h' -o -name '*.cpp' 2>/dev/null)
PYTEST_FLAGS ?= -n auto
# A warning is an error, and so is a link within the pages that leads nowhere.
SPHINX := $(VENV)/bin/python -m sphinx --quiet --fail-on-warning --keep-going

.PHONY: help demo test check fmt bench fuzz soak sanitize docs lock test-matrix wheel clean

help:  ## List the targets
	@echo 'Bifrost. Targets:'
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(STAMPS)/project  ## Build everything and open a shot through entity references
	@echo '== make demo: running bifrost demo'
	@$(VENV)/bin/bifrost demo --samples usd_samples

test: $(STAMPS)/project $(STAMPS)/test  ## Build everything and run the tests
	@echo '== make test: running the tests'
	@$(VENV)/bin/python -m pytest $(PYTEST_FLAGS) </dev/null \
	  || { echo 'make test: FAILED, see above'; exit 1; }
	@echo 'make test: every test passed'

check: $(STAMPS)/project $(STAMPS)/test $(STAMPS)/dev $(STAMPS)/docs  ## Formats, lint, types, layers, docs, tests; stops at the first failure
	@echo '== make check: 1/7 ruff format'
	@$(VENV)/bin/ruff format --check . || { echo '`make fmt` formats them'; exit 1; }
	@echo '== make check: 2/7 clang-format'
	@$(VENV)/bin/clang-format --dry-run --Werror $(CXX_FILES) || { echo '`make fmt` formats them'; exit 1; }
	@echo '== make check: 3/7 ruff'
	@$(VENV)/bin/ruff check .
	@echo '== make check: 4/7 mypy'
	@$(VENV)/bin/mypy
	@echo '== make check: 5/7 layers'
	@PYTHONPATH=python $(VENV)/bin/lint-imports --no-cache --no-logo
	@echo '== make check: 6/7 docs'
	@$(SPHINX) -b html docs build/docs
	@if $(VENV)/bin/python -c 'import socket; socket.create_connection(("github.com", 443), 5)' 2>/dev/null; \
	then $(SPHINX) -b linkcheck docs build/docs-links; \
	else echo 'no network: links to other sites are not tried'; fi
	@echo '== make check: 7/7 tests'
	@$(VENV)/bin/python -m pytest $(PYTEST_FLAGS) </dev/null
	@echo 'make check: everything passed'

fmt: $(STAMPS)/dev  ## Format the Python and C++ files, and fix what ruff can
	@$(VENV)/bin/ruff check --fix-only --quiet .
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/clang-format -i $(CXX_FILES)

fuzz: $(STAMPS)/project $(STAMPS)/test  ## Give every parser a great many inputs; FUZZ_FLAGS="--seed 2" gives others
	@$(VENV)/bin/python -m pytest $(PYTEST_FLAGS) -rP --rounds 1000000 $(FUZZ_FLAGS) tests/cpp/test_fuzz.py </dev/null
	@$(VENV)/bin/python -m pytest $(PYTEST_FLAGS) -rP --rounds 200000 $(FUZZ_FLAGS) \
	  tests/fuzz tests/cpp/test_fuzz_twins.py </dev/null

bench: $(STAMPS)/project $(STAMPS)/bench  ## Measure; docs/performance.md says what
	@$(VENV)/bin/python benchmarks/run.py $(BENCH_FLAGS)

soak: $(STAMPS)/project $(STAMPS)/bench  ## Ten minutes at work on each database: what grows? SOAK_FLAGS="--seconds 60"
	@$(VENV)/bin/python benchmarks/soak.py $(SOAK_FLAGS)

sanitize: $(STAMPS)/project $(STAMPS)/test  ## Core and plugin under TSan, ASan and UBSan. SANITIZE_FLAGS="--rounds 20"
	@$(VENV)/bin/python -m pytest -o timeout=3600 --rounds 5 $(SANITIZE_FLAGS) \
	  tests/cpp/test_core.py tests/cpp/test_pins.py tests/cpp/test_sanitizers.py </dev/null

docs: $(STAMPS)/project $(STAMPS)/docs  ## Write what is made from the code, and the site into build/docs
	@for made in settings_table errors_table faults_table command_line pictures; do \
	  $(VENV)/bin/python docs/$$made.py; done
	@$(SPHINX) -b html docs build/docs
	@echo 'make docs: open build/docs/index.html'

lock: $(STAMPS)/dev  ## Write .ci/requirements anew from pyproject.toml; LOCK_FLAGS=--upgrade takes the newest
	@$(VENV)/bin/python .ci/requirements/lock.py $(LOCK_FLAGS)

test-matrix: $(STAMPS)/venv  ## Try every OpenUSD and Python that can be had; ONLY=… takes some
	@$(VENV)/bin/python .ci/matrix.py '$(ONLY)'

wheel: $(STAMPS)/run  ## Build sdist and wheel into dist/, and try the wheel in an empty environment
	@PATH="$$PWD/$(VENV)/bin:$$PATH" $(VENV)/bin/python .ci/wheel.py

clean:  ## Remove everything that was made here
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(STAMPS)/venv:
	@python='$(PYTHON)'; \
	if [ -z "$$python" ]; then \
	  echo 'There is no Python 3.11, 3.12 or 3.13 on the PATH.' >&2; \
	  echo 'On Debian: apt-get install python3.11-dev python3.11-venv' >&2; exit 1; \
	fi; \
	version="$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])' || true)"; \
	case "$$version" in 3.11|3.12|3.13) ;; \
	  *) echo "$$python is $${version:-no Python}; Bifrost takes 3.11, 3.12 or 3.13." >&2; exit 1;; \
	esac; missing=''; \
	$$python -c 'import ensurepip, venv; ensurepip.version()' 2>/dev/null \
	  || missing="$$missing python$$version-venv"; \
	$$python -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' 2>/dev/null \
	  || missing="$$missing python$$version-dev"; \
	command -v "$${CXX:-c++}" >/dev/null || command -v g++ >/dev/null || missing="$$missing g++"; \
	missing="$${missing# }"; if [ -n "$$missing" ]; then \
	  echo "Missing on this machine, by the names of Debian's packages: $$missing" >&2; \
	  echo "On Debian: apt-get install $$missing" >&2; exit 1; \
	fi; \
	echo "== creating $(VENV) with $$python ($$version)"; \
	$$python -m venv --clear $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/run: .ci/requirements/build.txt .ci/requirements/run.txt | $(STAMPS)/venv
	@echo '== installing what Bifrost and its build need (pinned; about 90 MB the first time)'
	@$(PIP) --require-hashes -r .ci/requirements/build.txt -r .ci/requirements/run.txt
	@touch $@

$(STAMPS)/test $(STAMPS)/dev $(STAMPS)/bench $(STAMPS)/docs: $(STAMPS)/%: .ci/requirements/%.txt | $(STAMPS)/run
	@echo '== installing what `make $(@F)` needs besides (pinned)'
	@$(PIP) --require-hashes -r .ci/requirements/$(@F).txt
	@touch $@

$(STAMPS)/project: $(SOURCES) $(BUILD_FILES) $(STAMPS)/run
	@echo '== building the plugin and installing Bifrost into $(VENV)'
	@$(PIP) --quiet --no-deps --no-build-isolation --force-reinstall \
	  --config-settings=build-dir=build/venv .
	@touch $@
