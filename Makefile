# Everything a fresh machine needs: Python 3.11 or newer with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCH := $(VENV)/.bench
PEERS := $(VENV)/.peers
CONFIG ?= configs/serve.yaml
MINUTES ?= 10
TEST_MODELS := smollm2-135m-instruct piper-en-us-joe whisper-base

.PHONY: run demo test ready test-web test-slow redis web firefox lint types models lock clean chaos long-call \
	bench-turns bench-barge-in bench-latency bench-protocols bench-peers bench-llm bench-stt bench-stt-models bench-speech bench-agent \
	bench-capacity bench-hostile soak audit sbom licences

run: $(INSTALLED)       ## serve on port 4000 until Ctrl-C
	@$(BIN)/echo-serve run --config $(CONFIG)

demo: $(INSTALLED)      ## one spoken conversation, printed and measured
	@$(BIN)/echo-serve demo --config $(CONFIG)

test: $(INSTALLED)      ## lint, types, and every test
	@$(MAKE) --jobs=2 $(TOGETHER) types ready # mypy has a core, downloads have the other
	$(BIN)/python -m pytest -n 2 --durations=20

ready:                  # one after the other: apt-get does not wait for another one
	@$(MAKE) lint
	@$(MAKE) models
	@$(MAKE) redis
	@$(MAKE) web

# What a target prints stays together. The make of macOS (3.81) cannot do that.
TOGETHER := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

test-slow: models       ## stops, outages, hostile clients, privacy on whole servers
	$(BIN)/python -m pytest -m slow

redis:                  ## a redis-server for the tests, where it can be installed
	@command -v redis-server >/dev/null \
	|| { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq redis-server; } \
	|| echo "redis-server is missing, its tests are skipped: apt-get install redis-server"

test-web: models web firefox ## the page in browsers, the JavaScript client in Node
	$(BIN)/python -m pytest tests/web tests/serve/test_page.py tests/ingress/test_page.py tests/protocol/test_golden.py

web:                    ## a browser and Node for the tests, where they can be installed
	@$(call have,chromium=chromium node=nodejs npm=npm)

firefox:                ## a second browser; `make test` uses it if it is there
	@$(call have,firefox-esr=firefox-esr pulseaudio=pulseaudio)

# Commands, each with the package that has it.
have = missing=; for need in $(1); do \
	command -v $${need%=*} >/dev/null || missing="$$missing $${need\#*=}"; done; \
	test -z "$$missing" || { test "$$(id -u)" = 0 && apt-get update -qq \
	&& apt-get install -y -qq --no-install-recommends $$missing; } \
	|| echo "some tests of the page are skipped: apt-get install$$missing"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

models: $(INSTALLED)    ## fetch the default models, and those that only the tests need
	@$(BIN)/echo-serve fetch
	@$(BIN)/echo-serve fetch $(TEST_MODELS)

bench-turns: $(INSTALLED) ## false cut-offs against delay, on held-out speech; draws docs/pictures/turns.svg
	@$(BIN)/python -m bench.turns --picture

bench-barge-in: $(INSTALLED) ## how soon the agent is silent, and how often for nothing
	@$(BIN)/python -m bench.barge_in --sweep --picture docs/pictures/barge-in.svg

bench-latency: $(INSTALLED) ## how soon the whole server answers and falls silent
	@$(BIN)/python -m bench.latency

bench-protocols: $(INSTALLED) ## the same conversations by each protocol: delays, words, CPU
	@$(BIN)/python -m bench.protocols

bench-peers: $(INSTALLED) $(PEERS)/.installed ## the same callers at this server and at Pipecat
	@$(BIN)/python -m bench.peers --python $(PEERS)/bin/python

# Of its own: Pipecat wants other versions of some packages. 0.8 GB.
$(PEERS)/.installed: requirements-peers.lock requirements-build.lock
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --require-hashes --no-deps --no-build-isolation -r requirements-build.lock
	$(PEERS)/bin/python -m pip install --require-hashes --no-deps --no-build-isolation -r requirements-peers.lock
	@touch $@

bench-capacity: $(INSTALLED) ## how many users a machine holds, and what each costs
	@$(BIN)/python -m bench.capacity

bench-hostile: $(INSTALLED) ## clients that mean harm, beside eight callers
	@$(BIN)/python -m bench.hostile

bench-llm: $(INSTALLED)  ## the packaged chat models: what they know, how fast they are
	@$(BIN)/python -m bench.llm

bench-stt: $(BENCH)     ## the transcriber against faster-whisper, and its pool
	@$(BIN)/python -m bench.stt

bench-stt-models: $(INSTALLED) ## Whisper tiny.en and base on speech that nothing was tuned on
	@$(BIN)/python -m bench.stt_models

$(BENCH): $(INSTALLED) requirements-bench.lock
	$(BIN)/python -m pip install --require-hashes --no-deps --no-build-isolation -r requirements-bench.lock
	@touch $@

bench-speech: $(INSTALLED) ## how soon a reply is heard: by clauses, by sentences, and by joe
	@$(BIN)/python -m bench.speech

bench-agent: $(INSTALLED) ## how soon an interrupt frees LLM and voice, and what it leaves behind
	@$(BIN)/python -m bench.agent

long-call: $(INSTALLED) ## whether an hour of talk leaves anything behind in the server; an hour
	@$(BIN)/python -m bench.long_call --page docs/long-calls.md --json long-call.json

soak: $(INSTALLED)      ## whether good and hostile callers leave anything behind; MINUTES=10
	@$(BIN)/python -m bench.soak --minutes $(MINUTES)

chaos: $(INSTALLED)     ## processes are killed under live conversations; needs redis-server
	@$(BIN)/python -m bench.chaos

# Every file that is installed has to have a hash of the lock files: those that build packages too.
# The locks are complete, so pip has nothing to resolve.
PIP := $(BIN)/python -m pip install --require-hashes --no-deps --no-build-isolation --progress-bar on

$(INSTALLED): requirements-dev.lock requirements-build.lock requirements-cuda.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed: make PYTHON=python3.11"'
	@echo "Set-up, once: 2 GB of packages, and at the first start 561 MB of models."
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements-build.lock
	# pip prefers a file of the index to one that lies here (PIP_FIND_LINKS) if the index states its hash.
	@$(PIP) -q --no-index -r requirements-torch-cpu.lock 2> /dev/null \
	|| echo "no CPU build of PyTorch lies on this machine"
	$(PIP) -r requirements-dev.lock
	# PyTorch from PyPI wants CUDA's libraries on Linux; its CPU build, where an index has it, none.
	$(BIN)/python -c 'from importlib.metadata import version as v; exit("+cpu" not in v("torch"))' \
	|| $(PIP) -r requirements-cuda.lock
	$(BIN)/python -m pip install --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	@touch $@

lock: $(INSTALLED)      ## pin the newest versions that pyproject.toml allows, with hashes
	$(BIN)/python -m supply.locks

audit: $(INSTALLED)     ## known vulnerabilities of everything that is locked; AUDIT=--where-possible
	@$(BIN)/python -m supply.audit $(AUDIT)

sbom: $(INSTALLED)      ## a bill of materials, CycloneDX, in build/sbom.json
	@mkdir -p build
	@$(BIN)/python -m supply.sbom --out build/sbom.json

licences: $(INSTALLED)  ## writes docs/licences.md
	$(BIN)/python -m supply.licences > docs/licences.md

clean:
	rm -rf $(VENV) demo.wav
