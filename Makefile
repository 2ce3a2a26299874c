# The whole life of the project in a few words: make demo, make test. Needs Python 3.11, pip, make, git.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check
# What the suite needs of Debian: real servers, a real browser, a second judge for our signatures.
# (libatomic1: the browser driver of the tests is linked to it.)
PACKAGES := libatomic1 chromium fonts-dejavu-core hunspell hunspell-fr opendkim postfix postgresql-15 spamassassin

.PHONY: help demo test check golden coverage bench soak packages clean

help:
	@echo "make demo      the sample publication, from feeds to mailboxes, on this machine"
	@echo "make test      every check and test, as CI runs them"
	@echo "make check     style, types and import order only"
	@echo "make golden    refresh the golden files of the tests"
	@echo "make coverage  which lines no test reaches"
	@echo "make bench     measure against rivals (ratios)"
	@echo "make soak      the long runs: kills by the thousand"

demo: $(VENV)/.ready
	@$(BIN)/newsletter demo

test: $(VENV)/.ready packages check
	@echo "[4/4] Tests: unit, both databases, real servers, a real browser (under 10 minutes on 2 cores)…"
	@$(BIN)/python -m pytest -n 2

check: $(VENV)/.ready
	@echo "[3/4] Style, types, import order (about 15 s)…"
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 4

golden: $(VENV)/.ready
	@NEWSLETTER_REFRESH_GOLDEN=1 $(BIN)/python -m pytest -p no:randomly tests/test_golden.py

# Apart: being watched costs the suite half as much time again, and judges nothing.
coverage: $(VENV)/.ready packages
	@$(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered

bench: $(VENV)/.ready packages
	@$(BIN)/python -m benchmarks

soak: $(VENV)/.ready packages
	@$(BIN)/python -m benchmarks.soak

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version)."; exit 1; }
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || { \
	  echo "pip is needed: apt-get install python3-pip"; exit 1; }
	@echo "[1/4] Python libraries into $(VENV): about a minute, once…"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv --without-pip $(VENV)
	@# --no-deps: the lock is whole, and a resolver that meets a newer release first gives up on hashes.
	@$(PIP) install --quiet --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --quiet --no-deps --no-build-isolation --no-index --editable .
	@$(PIP) check --quiet
	@touch $@

packages:
	@missing=""; for name in $(PACKAGES); do \
	  dpkg-query -W -f='$${Status}' $$name 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$name"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then \
	  echo "The suite needs these Debian packages; run this once, then make test again:"; \
	  echo "  sudo apt-get install --yes --no-install-recommends$$missing"; exit 1; fi; \
	echo "[2/4] Debian packages:$$missing (about a minute, once)…"; \
	mkdir -p /etc/postgresql-common; \
	[ -e /etc/postgresql-common/createcluster.conf ] || \
	  echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; \
	echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections; \
	export DEBIAN_FRONTEND=noninteractive; \
	log=$$(mktemp); { apt-get update && \
	  apt-get install --yes --no-install-recommends $$missing; } >$$log 2>&1 || { tail -n 20 $$log; exit 1; }

clean:
	@rm -rf $(VENV) build dist out .pytest_cache .mypy_cache .ruff_cache .coverage .hypothesis
