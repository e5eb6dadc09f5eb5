.DEFAULT_GOAL := help
PIP_QUIETLY := --quiet --quiet --disable-pip-version-check
# The first Python that runs: a name on PATH may be a shim with nothing behind it. The system's
# own come first, if they can make a venv: as distributions build it, it takes a tenth less
# processor time than as pyenv does.
PYTHONS := python3.15 python3.14 python3.13 python3.12 python3.11
SYSTEM_BIN := /usr/bin
PYTHON ?= $(shell for p in $(PYTHONS:%=$(SYSTEM_BIN)/%); do \
	$$p -c 'import ensurepip, venv' 2>/dev/null && { echo $$p; exit; }; done; \
	for p in $(PYTHONS) python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

# The tool that reads the OpenAPI document, with 28 packages that nothing else needs.
.venv-fuzz/ready: requirements-fuzz.lock
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/pip install $(PIP_QUIETLY) --require-hashes -r $<
	@touch $@

# What drives a browser, for the tests of the console that have one.
.venv-dev/browser: requirements-browser.lock .venv-dev/ready
	@.venv-dev/bin/pip install $(PIP_QUIETLY) --require-hashes -r $<
	@touch $@

# What people would use instead, for the comparison.
.venv-peers/ready: requirements-peers.lock
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/pip install $(PIP_QUIETLY) --require-hashes -r $<
	@touch $@

.PHONY: help demo screenshots test fix lint spelling types imports core unit soak bench compare fleet fuzz fuzz-platform bench-platform deb deb-test bare clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 10

# .venv runs the daemon and the control plane; .venv-dev adds the tools that check them.
# They are two because some of the tools, once installed, slow every import of the daemon.
.venv/ready: requirements.lock
.venv-dev/ready: requirements-dev.lock
.venv/ready .venv-dev/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. As root: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make a venv. As root: apt-get install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"; exit 1; }
	@echo "$(@D) 1/4: make it with $$($(PYTHON) --version) (about 5 s)"
	@$(PYTHON) -m venv --clear $(@D)
	@echo "$(@D) 2/4: download and install the $$(grep -c == $(filter %.lock,$^)) packages of $(filter %.lock,$^) (10 to 60 s)"
	@$(@D)/bin/pip install $(PIP_QUIETLY) --require-hashes -r $(filter %.lock,$^)
	@echo "$(@D) 3/4: install this checkout (about 3 s)"
	@$(@D)/bin/pip install $(PIP_QUIETLY) --no-deps --no-build-isolation -e .
	@echo "$(@D) 4/4: compile it (about 2 s)"
	@$(@D)/bin/python -m compileall -q src # as installing a wheel would: it starts in half the time
	@touch $@

demo: .venv/ready ## the main job before your eyes, under 30 s (KEEP=1 stays up)
	@.venv/bin/rensei-daemon demo $(if $(KEEP),--keep)

# Two things at a time: the tests of the core and the type checker work while others wait.
# What they say is shown when each is done, and the progress of the others as it comes.
test: .venv/ready lint ## lint, types, import contracts, tests (ALL=1: the slow ones too)
	@$(MAKE) --no-print-directory -j2 -Otarget unit-aloud spelling types imports $(if $(ALL),core)
	$(if $(ALL),,@echo "without the slow tests, which make test ALL=1 runs as well")

.PHONY: unit-aloud
unit-aloud:
	@$(MAKE) --no-print-directory -Onone unit


lint: .venv-dev/ready
	.venv-dev/bin/ruff check .
	.venv-dev/bin/ruff format --check .

spelling: .venv-dev/ready
	.venv-dev/bin/codespell

types: .venv-dev/ready
	.venv-dev/bin/mypy

imports: .venv-dev/ready
	.venv-dev/bin/lint-imports --no-cache

core: .venv-dev/ready # its own tests reach every line and every branch of it
	@.venv-dev/bin/coverage erase
	.venv-dev/bin/coverage run --source=rensei_daemon.core -m pytest tests/core
	@.venv-dev/bin/coverage combine -q
	.venv-dev/bin/coverage report --fail-under=100

# They wait more than they work. Those of the core run among the others, or are measured apart.
CHOICE := $(if $(ALL),--processes 5 --ignore tests/core,--processes 6 -m "not slow")
unit: .venv-dev/ready # with bytecode, if it is unset elsewhere: 800 files are imported
	PYTHONDONTWRITEBYTECODE= .venv-dev/bin/pytest $(CHOICE)

# Every script stands alone; all of them run, also after one that failed.
define run_each
	@failed=; for script in $(1); do echo "== $$script"; \
		.venv-dev/bin/python $$script || failed="$$failed $$script"; done; \
		[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }
endef

soak: .venv-dev/ready ## the long proofs, some half an hour
	$(call run_each,tests/soak/*.py)

bench: .venv/ready .venv-dev/ready ## the numbers to reach, each beside a floor (ROWS="start memory", LONG=1, WRITE=1)
	@.venv-dev/bin/python tests/bench/host.py $(ROWS) $(if $(LONG),--long) $(if $(WRITE),--write)

compare: .venv/ready .venv-dev/ready .venv-peers/ready ## beside what people would use instead (WRITE=1)
	@npm install --silent --prefix build/peers eventsource@4.1.1 >/dev/null || echo "npm eventsource is not measured: npm cannot install it"
	@.venv-dev/bin/python tests/bench/compare.py .venv-peers build/peers $(if $(WRITE),--write)

bench-platform: .venv-dev/ready ## what the control plane carries (HOSTS=1000, or 10000; WRITE=1 its page)
	@failed=; for script in streams numbers receipts console trouble; do \
		.venv-dev/bin/python tests/bench/platform_$$script.py $(or $(HOSTS),1000) || failed=1; done; [ -z "$$failed" ]

fleet: .venv-dev/browser ## many hosts in trouble, plots in docs/img (N=2000, INTERVAL=30, OUTAGE=300 s, DATABASE=sqlite)
	@.venv-dev/bin/python tests/fleet/run_fleet.py $(or $(N),2000) --plots docs/img \
		$(if $(INTERVAL),--interval $(INTERVAL)) $(if $(OUTAGE),--outage $(OUTAGE)) \
		$(if $(DATABASE),--database $(DATABASE))

fuzz: .venv-dev/ready ## every answer of the platform gone wrong (FUZZ_SECONDS=3600, SEED=n)
	@.venv-dev/bin/python tests/fuzz/responses.py
	@$(MAKE) --no-print-directory fuzz-platform FUZZ_SECONDS=300

fuzz-platform: .venv-dev/ready .venv-fuzz/ready ## every call of the control plane, right and wrong (FUZZ_SECONDS=60)
	@.venv-dev/bin/python tests/fuzz/platform_calls.py

# A package for one Debian release, made in a minimal system of it. Both are kept below build/.
RELEASE ?= bookworm
deb: .venv/ready ## a Debian package (RELEASE=bookworm or trixie); takes root, debootstrap
	@rm -rf build/deb/wheel
	@.venv/bin/pip wheel $(PIP_QUIETLY) --no-deps --no-build-isolation -w build/deb/wheel .
	@packaging/deb/build.sh $(RELEASE) build/deb/wheel/*.whl build/deb/$(RELEASE)
	@ls -s -h build/deb/$(RELEASE)/*.deb

RELEASES := bookworm trixie
deb-test: .venv-dev/ready ## its life on real systems: install, upgrade, remove, purge; root
	@for release in $(RELEASES); do $(MAKE) --no-print-directory deb RELEASE=$$release && \
		packaging/deb/system.sh $$release build/deb/$$release/host-system python3,systemd \
		|| exit 1; done
	@cp build/deb/$(firstword $(RELEASES))/rensei-daemon_*.deb build/deb/first.deb
	@$(MAKE) --no-print-directory deb RELEASE=$(firstword $(RELEASES))
	@cmp build/deb/first.deb build/deb/$(firstword $(RELEASES))/rensei-daemon_*.deb && echo "built twice: the same bytes"
	@for life in deb platform; do .venv-dev/bin/python tests/packaging/$${life}_life.py \
		$(foreach release,$(RELEASES),$(release)=build/deb/$(release)) || exit 1; done

bare: ## demo and test on minimal Debian 12 and 13 (root, debootstrap; half an hour; ONLY=bookworm-user, LOAD=8)
	@python3 tests/bare/run.py $(if $(LOAD),--load $(LOAD)) $(ONLY)

screenshots: .venv-dev/browser ## docs/img: the console's pages in a Chromium
	@.venv-dev/bin/python tests/docs/console_screenshots.py

fix: .venv-dev/ready ## format, and fix what can be fixed
	.venv-dev/bin/ruff check --fix .
	.venv-dev/bin/ruff format .
	.venv-dev/bin/python tests/docs/commands_page.py

clean: ## remove what make made
	rm -rf build .venv .venv-dev .venv-fuzz .venv-peers .mypy_cache .pytest_cache .ruff_cache .hypothesis
