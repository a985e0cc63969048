# The table of contents of what can be done here. `make help` prints it.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Ours first, if it had to be fetched.
export PATH := $(CURDIR)/.tools:$(PATH)
# How many histories `make simulate` plays.
SEEDS ?= 1000

.PHONY: help demo test lint fmt build bench simulate crds setup clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## the whole story in a minute: a warm pool, a claim, a rollout, on this machine (root)
	hack/demo.sh

test: setup ## every test (those with containers need root)
	@hack/setup-debian.sh cc ip unshare python3 script
	cargo build --quiet -p sandbank
	cargo test --workspace --quiet

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

fmt: ## format the sources
	cargo fmt --all

build: ## the binary, optimised
	cargo build --release -p sandbank

bench: ## the measurements of bench/, with their conditions
	cargo build --release --quiet -p sandbank -p sandbank-bench
	cargo run --release --quiet -p sandbank-bench

simulate: ## play SEEDS=n histories of the real controllers under faults, of each family and of both
	cargo run --release --quiet -p sandbank-tests --bin simulate -- $(SEEDS)

crds: ## write the CRDs to deploy/crds.yaml
	mkdir -p deploy
	cargo run --quiet -p sandbank -- crds > deploy/crds.yaml

setup: ## what the others need: a C linker and kubectl, only where absent
	@hack/setup-debian.sh
	@hack/install-kubectl.sh

clean: ## remove what was built and fetched
	cargo clean
	rm -rf .tools
