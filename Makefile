# Every target sets up what it needs by itself; only Python 3.11, make and binutils are asked for.
PYTHON ?= python3.11
ARCH ?= $(shell uname -m | sed s/aarch64/arm64/)
LAYER := dist/telemetry-forwarder-$(ARCH).zip
SOURCES := bootstrap build.sh $(shell find extension layer -name '*.py' -o -name '*.spec' -o -name freeze.sh) requirements/build.txt

demo: $(LAYER)  ## build the layer and run the example function with it
	.venv/bin/python -m simulator --demo

test: $(LAYER)  ## all tests but the integration tier
	.venv/bin/python -m pytest

faults: $(LAYER)  ## every combination of sink, load, freeze and ending; writes docs/faults.md
	.venv/bin/python -m tests.faults

integration: $(LAYER)  ## the slow tier: more real servers, the bullseye root, a browser
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } \
		|| echo "chromium cannot be installed here; the tests that need it will say so"
	.venv/bin/python -m pytest -m integration

lint: .venv/ready  ## ruff, mypy, import-linter, shellcheck, cfn-lint
	.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/mypy && .venv/bin/lint-imports
	.venv/bin/shellcheck bootstrap build.sh .ci/run layer/*.sh && .venv/bin/cfn-lint template.yaml

layer: $(LAYER)  ## dist/telemetry-forwarder-<arch>.zip
venv: .venv/ready

.venv/ready: requirements/dev.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

$(LAYER): .venv/ready $(SOURCES)
	./build.sh

layer-bullseye:  ## a layer that Lambda loads, without Docker: debootstrap, and CPython compiled in there; needs root
	layer/bullseye.sh .work/bullseye && ./build.sh --lambda --root .work/bullseye

build-ForwarderLayer:  ## called by `sam build`
	./build.sh --lambda --arch $(ARCH) && unzip -q -o $(LAYER) -d $(ARTIFACTS_DIR)

LOCK := --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: .venv/ready  ## pin requirements/*.in anew, with hashes and without index hosts
	cd requirements && for name in layer build dev integration; do PIP_FIND_LINKS= CUSTOM_COMPILE_COMMAND="make lock" \
		../.venv/bin/pip-compile $(LOCK) -o $$name.txt $$name.in || exit 1; done

clean:
	rm -rf .venv .work dist

.PHONY: demo test faults integration lint layer layer-bullseye build-ForwarderLayer venv lock clean
