# Everything a person or CI runs. Each target sets up what it needs inside the checkout and skips what is there.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PROOF := .venv-proof
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
FORGE = $(firstword $(wildcard node_modules/@foundry-rs/forge-*-*/bin/forge*))

.PHONY: help setup demo test check coverage prove slither mutate faults chaos deep soak gas abi bench clean
help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(VENV)/.ready node_modules/.ready ## Python and Node environments, inside the checkout

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "dlbc needs Python 3.11 or newer; $$($(PYTHON) --version) was found. Set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "== setting up Python packages in $(VENV) (once, about two minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --requirement deploy/early-requirements.txt --constraint constraints.txt
	@$(BIN)/python -m pip install --quiet --editable '.[devnet,dev]' --constraint constraints.txt
	@touch $@

node_modules/.ready: package.json package-lock.json $(VENV)/.ready
	@echo "== setting up Node packages in node_modules (once, about ten seconds)"
	@npm ci --no-fund --no-audit --loglevel=error
	@touch $@

# halmos wants old pins and slither an old web3, so they live apart
$(PROOF)/.ready: deploy/proof-requirements.txt
	@echo "== setting up halmos and slither in $(PROOF) (once, about half a minute)"
	@test -x $(PROOF)/bin/python || $(PYTHON) -m venv $(PROOF)
	@$(PROOF)/bin/python -m pip install --quiet --requirement deploy/proof-requirements.txt
	@touch $@

demo: setup ## the whole loop on a local chain and a local IPFS node; leaves demo-out/summary.json
	@dlbc demo

test: check ## the whole gate: format, lint, types, layers, all tests
	@echo "== Solidity tests"
	@node node_modules/hardhat/dist/src/cli.js test solidity
	@echo "== Python tests: contract and e2e"
	@pytest -q -m "contract or e2e or chaos" -n 2 --dist loadfile

check: setup ## the fast part: format, lint, types, layers, unit tests
	@echo "== format and lint"
	@ruff format --check .
	@ruff check .
	@$(FORGE) fmt --check contracts tests/solidity tests/proof/symbolic
	@echo "== types"
	@mypy
	@echo "== layers"
	@lint-imports --no-cache
	@echo "== Python tests: unit"
	@pytest -q -m unit -n 2

coverage: setup ## lines and branches of contracts/ that the Solidity tests reach
	@python tests/proof/cover.py

prove: setup $(PROOF)/.ready ## symbolic proofs of the libraries
	@python tests/proof/prove.py

slither: setup $(PROOF)/.ready ## static analysis: no finding without its reason
	@python tests/proof/analyse.py

mutate: setup ## do the tests notice changed libraries? MUTANTS=40 of them, or MUTANTS=all
	@python tests/proof/run.py mutation

faults: setup ## do the tests notice faults seeded into the contracts?
	@python tests/proof/faults.py

deep: setup $(PROOF)/.ready ## every proof at length, within an hour -> bench/results/proof.json
	@python tests/proof/run.py

chaos: setup ## every fault of the chaos suite, about half an hour -> bench/results/chaos.json
	@DLBC_FAULTS=bench/results/chaos.json pytest -q -m "chaos or storm" -n 2 --dist loadfile tests/python/chaos

soak: setup ## a small market under random SIGKILLs -> bench/results/soak.json; SOAK_MINUTES=20 SOAK_TASKS=60 SEED=1
	@python tests/proof/soak.py --minutes $(or $(SOAK_MINUTES),20) --tasks $(or $(SOAK_TASKS),60) --seed $(or $(SEED),1)

gas: setup ## gas of every call -> bench/results/gas.json
	@python bench/gas.py

abi: setup ## compiles the contracts into the ABIs and bytecode that the wheel carries
	@python -m dlbc.adapters.chain.compile

bench: setup ## every benchmark -> bench/results
	@dlbc bench all

clean: ## removes what the targets above made
	rm -rf $(VENV) $(PROOF) node_modules artifacts cache out demo-out .dlbc
