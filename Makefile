# Everything happens in .venv, with the packages that requirements/ pins by hash. `make` alone lists what can be made.

VENV := .venv
PIP := $(VENV)/bin/python -m pip install -qq --root-user-action=ignore
PINNED := --require-hashes --only-binary :all:
LOCK = $(VENV)/bin/uv --no-config --quiet pip compile --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS)
SAY := @printf '» %s\n'

# Tools that one target needs have environments of their own below .venv, so that the tests install no more than they run.
# `compare` is a program of others (AGPL) that runs beside ours to be measured, and of which nothing is ours.
TOOLS := manifests sbom scan site load compare
APART := $(TOOLS) runtime fuzz

# A .venv that was moved or copied, or whose Python is gone, is made again.
USABLE := [ "$$(cat $(VENV)/place)" = "$(CURDIR)" ] && $(VENV)/bin/python -c ''
ifneq ($(shell { $(USABLE); } 2>&1 || echo no),)
.PHONY: $(VENV)/place
endif

export PIP_DISABLE_PIP_VERSION_CHECK := 1
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install run test test-cluster test-long faults mutants style types bench loadtest compare docs site sbom scan fuzz manifests lock

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

install: $(VENV)/installed ## set up .venv with the `sca` command

run: $(VENV)/installed ## start the whole service on this machine (ARGS="--port 8080"); Ctrl-C stops it
	$(SAY) 'Starting the service; Ctrl-C stops it'
	@exec $(VENV)/bin/sca dev $(ARGS)

test: ## check style, types and import rules, then run every test (ARGS="-k lockout")
	@$(MAKE) --no-print-directory --jobs=2 style types $(VENV)/peers
	$(SAY) 'Tests (pytest, in three processes)'
	@$(VENV)/bin/pytest -n 3 --dist loadfile --cache-clear $(ARGS) || { \
		status=$$?; [ $$status -eq 1 ] || exit $$status; \
		echo '» What failed is tried once more, by itself (a busy machine upsets some); races and crashes are not'; \
		exec $(VENV)/bin/pytest --last-failed --last-failed-no-failures none --second-try -rp $(ARGS); \
	}

test-cluster: $(VENV)/installed-dev ## run the tests of the stores and the service on a cluster of six Valkeys
	$(SAY) 'Tests of stores and service, on a cluster'
	@SCA_TEST_REDIS=cluster $(VENV)/bin/pytest tests/stores tests/service $(ARGS)

test-long: $(VENV)/installed-dev $(VENV)/peers ## run the tests that take minutes each (ARGS="-k seeds")
	@exec $(VENV)/bin/pytest -m on_demand $(ARGS)

faults: $(VENV)/installed-dev $(VENV)/peers ## break what can break, by seed, and check everything (ARGS="--seeds 1000")
	@exec $(VENV)/bin/python -m tests.faults.seeds $(ARGS)

mutants: $(VENV)/installed-dev ## change pure files, one small thing at a time: do their tests notice? (ARGS=merkle)
	@exec $(VENV)/bin/python -m tests.mutants $(ARGS)

style: $(VENV)/installed-dev
	$(SAY) 'Style (ruff) and import rules (import-linter)'
	@$(VENV)/bin/ruff check --quiet
	@$(VENV)/bin/ruff format --check --quiet || { echo 'Not formatted: run $(VENV)/bin/ruff format'; exit 1; }
	@$(VENV)/bin/lint-imports >$(VENV)/lint-imports.log 2>&1 || { cat $(VENV)/lint-imports.log; exit 1; }

types: $(VENV)/installed-dev
	$(SAY) 'Types (mypy)'
	@$(VENV)/bin/mypy --no-error-summary

bench: $(VENV)/installed-dev $(VENV)/load/installed ## measure, and draw (ARGS=two-apis, headroom, flat or start measures that)
	@exec $(VENV)/bin/python -m loadtests $(ARGS)

loadtest: $(VENV)/installed-dev $(VENV)/load/installed ## put traffic on it, check everything, draw (ARGS="--shape payday --minutes 2")
	@exec $(VENV)/bin/python -m loadtests.scenario $(ARGS)

compare: $(VENV)/installed-dev $(VENV)/compare/installed ## measure it beside a bare echo and privacyIDEA
	@exec $(VENV)/bin/python -m loadtests.compare $(ARGS)

docs: $(VENV)/installed ## write the pages under docs/ that come from the code
	@exec $(VENV)/bin/sca docs $(ARGS)

manifests: $(VENV)/installed-dev $(VENV)/manifests/installed ## check k8s/ and the Dockerfile with tools of their own
	$(SAY) 'Manifests (kustomize, kubernetes-validate, checkov), Dockerfile (hadolint), alerts (promtool)'
	@PATH="$(CURDIR)/$(VENV)/manifests/bin:$$PATH" $(VENV)/bin/pytest -rs tests/architecture/test_manifests.py tests/architecture/test_manifest_tools.py $(ARGS)

site: $(VENV)/installed $(VENV)/site/installed ## make the documentation's pages in site/ (ARGS=serve serves them while you write)
	@$(VENV)/bin/sca docs >$(VENV)/docs.log
	@rm -rf build/pages && mkdir -p build/pages && cp -r --parents docs *.md k8s/README.md loadtests/*.md loadtests/results/sample tests/faults/README.md build/pages
	$(SAY) 'Making the pages of the documentation (zensical)'
	@exec $(VENV)/site/bin/zensical $(or $(ARGS),build --clean)

sbom: $(VENV)/sbom/installed $(VENV)/runtime/installed ## write what the service is made of (sbom.json, CycloneDX)
	@$(VENV)/sbom/bin/cyclonedx-py environment --output-reproducible --spec-version 1.6 --gather-license-texts \
		--pyproject pyproject.toml --mc-type application --output-file sbom.json $(VENV)/runtime/bin/python
	$(SAY) 'Written: sbom.json'

scan: $(VENV)/scan/installed ## look for what is unsafe (bandit, and semgrep with our own rules)
	$(SAY) 'Looking for what is unsafe (bandit)'
	@$(VENV)/scan/bin/bandit --quiet --recursive --configfile pyproject.toml sca_service
	$(SAY) 'Holding the code against our own rules (semgrep)'
	@$(VENV)/scan/bin/semgrep scan --quiet --error --metrics off --disable-version-check --config tests/rules sca_service

fuzz: $(VENV)/fuzz/installed ## have atheris look for what breaks a parser (ARGS="--seconds 60 phone")
	$(SAY) 'Looking for bytes that break a parser (atheris)'
	@exec $(VENV)/fuzz/bin/python -m tests.fuzz $(ARGS)

lock: $(VENV)/place ## pin the packages anew from pyproject.toml (ARGS=--upgrade takes the newest)
	$(SAY) 'Resolving the packages for Python 3.11 and later'
	@$(PIP) $(PINNED) -r requirements/lock.txt
	@$(LOCK) pyproject.toml --group build --group dev -o requirements/dev.txt
	@$(LOCK) pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt
	@$(LOCK) pyproject.toml --extra otlp -c requirements/dev.txt -o requirements/image.txt
	@$(LOCK) --group build -c requirements/dev.txt -o requirements/build.txt
	@$(LOCK) --group lock -o requirements/lock.txt
	@$(LOCK) pyproject.toml --group fuzz -c requirements/dev.txt -o requirements/fuzz.txt
	@for tool in $(TOOLS); do $(LOCK) --group $$tool -o requirements/$$tool.txt; done

$(VENV)/installed: $(VENV)/place pyproject.toml requirements/build.txt requirements/runtime.txt
	$(SAY) 'Installing the packages it needs, each checked against its hash (the first time takes half a minute)'
	@$(PIP) $(PINNED) -r requirements/build.txt -r requirements/runtime.txt
	@$(PIP) --no-index --no-deps --no-build-isolation --editable .
	@touch $@
	$(SAY) 'Installed: $(VENV)/bin/sca'

$(VENV)/installed-dev: $(VENV)/installed requirements/dev.txt
	$(SAY) 'Installing the packages that the checks need, each checked against its hash'
	@$(PIP) $(PINNED) -r requirements/dev.txt
	@touch $@

$(APART:%=$(VENV)/%/installed): $(VENV)/%/installed: requirements/%.txt | $(VENV)/place
	$(SAY) 'Installing what this needs, each package checked against its hash'
	@$(VENV)/bin/python -m venv --clear $(VENV)/$*
	@$(VENV)/$*/bin/python -m pip install -qq --root-user-action=ignore $(PINNED) -r $<
	@touch $@

# Without one of them its tests are skipped, and the next `make test` tries again.
ifeq ($(wildcard tests/peers/node_modules/.installed-lock),)
.PHONY: $(VENV)/peers
endif
$(VENV)/peers: $(VENV)/place tests/peers/install tests/peers/package-lock.json
	@tests/peers/install && touch $@ || true

$(VENV)/place:
	@found=; bare=; \
	for python in $(PYTHON) python3.13 python3.12 python3.11 python3; do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		if "$$python" -c 'import ensurepip, venv' 2>/dev/null; then found=$$python; break; fi; \
		bare=$$python; \
	done; \
	if [ -n "$$found" ]; then \
		printf '» %s\n' "Making $(VENV) with $$("$$found" --version)"; \
		"$$found" -m venv --clear $(VENV) && printf '%s\n' '$(CURDIR)' >$@; \
	elif [ -n "$$bare" ]; then \
		echo "$$bare lacks its modules venv and ensurepip (Debian, Ubuntu: apt install python3-venv)"; exit 1; \
	else \
		echo 'Python 3.11 or later was not found (make PYTHON=/path/to/python3 names one)'; exit 1; \
	fi
