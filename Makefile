# Everything a person or CI runs. Each target sets up what it needs inside the checkout and skips what is there.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
FORGE = $(firstword $(wildcard node_modules/@foundry-rs/forge-*-*/bin/forge*))

.PHONY: help setup demo test check deep gas abi bench clean
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

demo: setup ## the whole loop on a local chain and a local IPFS node; leaves demo-out/summary.json
	@dlbc demo

test: check ## the whole gate: format, lint, types, layers, all tests
	@echo "== Solidity tests"
	@node node_modules/hardhat/dist/src/cli.js test solidity
	@echo "== Python tests: contract and e2e"
	@pytest -q -m "contract or e2e or chaos"

check: setup ## the fast part: format, lint, types, layers, unit tests
	@echo "== format and lint"
	@ruff format --check .
	@ruff check .
	@$(FORGE) fmt --check contracts tests/solidity
	@echo "== types"
	@mypy
	@echo "== layers"
	@lint-imports --no-cache
	@echo "== Python tests: unit"
	@pytest -q -m unit -n 2

deep: setup ## long fuzz and property tests
	@FUZZ_RUNS=10000 node node_modules/hardhat/dist/src/cli.js test solidity
	@HYPOTHESIS_PROFILE=deep pytest -q

gas: setup ## gas of every call -> bench/results/gas.json
	@python bench/gas.py

abi: setup ## compiles the contracts into the ABIs and bytecode that the wheel carries
	@python -m dlbc.adapters.chain.compile

bench: setup ## every benchmark -> bench/results
	@dlbc bench all

clean: ## removes what the targets above made
	rm -rf $(VENV) node_modules artifacts cache out demo-out .dlbc
