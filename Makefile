# Every target sets up what it needs by itself; only Python 3.11, make and binutils are asked for.
PYTHON ?= python3.11
ARCH ?= $(shell uname -m | sed s/aarch64/arm64/)
LAMBDA := dist/telemetry-forwarder-$(ARCH).zip
LOCAL := dist/telemetry-forwarder-$(ARCH)-local.zip
LAYER := $(or $(wildcard $(LAMBDA)),$(LOCAL))
SOURCES := bootstrap build.sh $(shell find extension layer -name '*.py' -o -name '*.spec' -o -name '*.sh' -o -name '*.c') \
	$(addprefix requirements/,build.txt layer.txt sources.txt toolchain.txt re2.txt re2-sources.txt)

demo: .venv/ready $(LAYER)  ## build the layer and run the example function with it; V=1 shows every event
	.venv/bin/python -m simulator.demo $(if $(V),-v)

test: .venv/ready $(LAYER)  ## all tests but the integration tier
	.venv/bin/python -m pytest -n 6 --dist worksteal

faults: .venv/ready $(LAYER)  ## combinations of sink, load, freeze and ending; writes docs/faults.md
	.venv/bin/python -m tests.faults

integration: .venv/ready $(LAYER)  ## the slow tier: more real servers, an old root, arm64, a browser
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } \
		|| echo "chromium cannot be installed here; the tests that need it will say so"
	.venv/bin/python -m pytest -m integration

lint: .venv/ready  ## ruff, mypy, import-linter, shellcheck, cfn-lint
	.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/mypy && .venv/bin/lint-imports
	.venv/bin/shellcheck bootstrap build.sh .ci/run .github/*.sh layer/*.sh layer/sam/*.sh
	.venv/bin/cfn-lint template.yaml examples/*/*.yaml

layer: $(LAYER)  ## the layer for Lambda if it was built before, else that of this machine's own libraries
lambda: $(LAMBDA)  ## dist/telemetry-forwarder-<arch>.zip, which loads on Lambda; compiles CPython the first time
venv: .venv/ready

.venv/ready: requirements/dev.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

$(LOCAL): $(SOURCES)
	./build.sh

$(LAMBDA): $(SOURCES)
	./build.sh --lambda --arch $(ARCH)

LOCK := --quiet --generate-hashes --allow-unsafe --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: .venv/ready  ## pin requirements/*.in anew, with hashes and without index hosts
	cd requirements && for name in layer build dev integration deploy toolchain re2; do PIP_FIND_LINKS= CUSTOM_COMPILE_COMMAND="make lock" \
		../.venv/bin/pip-compile $(LOCK) -o $$name.txt $$name.in || exit 1; done

sources:  ## pin Debian's newest source packages for the portable CPython and RE2
	for name in sources re2-sources; do layer/sources.sh --newest requirements/$$name.txt >requirements/$$name.new && \
		mv requirements/$$name.new requirements/$$name.txt || exit 1; done

clean:
	rm -rf .venv .work dist

.PHONY: demo test faults integration lint layer lambda venv lock sources clean
