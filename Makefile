# The project's commands. `make run` and `make test` set everything up themselves; `make help` lists the rest.

# The first interpreter that is new enough; `make PYTHON=/path/to/python run` names another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)

BIN := .venv/bin
UV := $(BIN)/uv
ENGINE := CMakeLists.txt native/CMakeLists.txt $(wildcard native/include/ann_bench/*.hpp native/src/*.cpp native/bindings/*)
# What `make run` measures, however much more is installed: a picture that one pair of axes holds, in minutes.
LIBRARIES := annoy hnswlib faiss
ALGORITHMS ?= engine-forest annoy hnswlib faiss-ivf faiss-hnsw faiss-flat bruteforce \
	sklearn-brute sklearn-kd-tree sklearn-ball-tree
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install run test test-python test-native test-libraries lint format clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: install ## install the libraries that are missing, measure, draw (more flags in ARGS)
	@$(BIN)/ann-bench install $(LIBRARIES) || echo "going on with what is installed"
	@$(BIN)/python run.py --plot $(ALGORITHMS:%=--algorithm %) $(ARGS)

test: test-python test-native ## run all tests

install: .venv/.installed ## make .venv and install the package with its compiled engine into it

test-python: .venv/.installed-test ## run the Python tests
	$(BIN)/python -m pytest $(ARGS)

# The sanitizers see every C++ test; the release build runs them as they are shipped.
test-native: .venv/.installed-test ## build and run the C++ tests, plain and under sanitizers
	@echo "building and running the C++ tests (release, address + undefined behaviour, thread)"
	@for preset in release address thread; do \
		PATH="$(CURDIR)/$(BIN):$$PATH" sh -ec 'cmake --preset $$0 >/dev/null; cmake --build --preset $$0; ctest --preset $$0' \
			$$preset || exit 1; done

# A library that cannot be installed fails it, after the others are tested.
test-libraries: .venv/.installed-test ## install every library and test its wrapper
	@$(BIN)/ann-bench install --all; installed=$$?; \
		$(BIN)/python -m pytest --watch-memory 20 tests/wrappers $(ARGS) && exit $$installed

lint: .venv/.installed-lint ## check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	git ls-files native | grep -E '\.(hpp|cpp)$$' | xargs $(BIN)/clang-format --dry-run --Werror
	@for python in python3.7 $$HOME/.pyenv/versions/3.7.*/bin/python; do \
		command -v $$python >/dev/null 2>&1 && $$python -c 'pass' 2>/dev/null || continue; \
		echo "byte-compiling worker and wrappers with $$python"; \
		$$python -m compileall -q -f ann_bench/worker ann_bench/wrappers || exit 1; break; done

format: .venv/.installed-lint ## bring the code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	git ls-files native | grep -E '\.(hpp|cpp)$$' | xargs $(BIN)/clang-format -i

clean: ## remove all that was built and installed here (results and downloads stay)
	rm -rf .venv build .cache .mypy_cache .ruff_cache .pytest_cache

$(UV):
	@test -n "$(PYTHON)" || { echo "ann_bench needs Python 3.11 or newer: install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

.venv/.installed: $(UV) pyproject.toml $(ENGINE)
	@echo "installing ann_bench and compiling its engine"
	@$(UV) pip install --quiet --python $(BIN)/python --group native
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(UV) pip install --quiet --python $(BIN)/python --no-build-isolation --editable .
	@touch $@

.venv/.installed-%: .venv/.installed pyproject.toml
	@$(UV) pip install --quiet --python $(BIN)/python --group $*
	@touch $@
