# The commands of this project; a person and CI use the same ones. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# Build outputs live outside the checkout, so that a fresh clone does not begin at nothing.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/jobico/target

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Show the main job, end to end, on embedded defaults
	@scripts/prerequisites demo
	@scripts/demo

.PHONY: test
test: ## Everything that is checked, with real Kafka and Cassandra
	@scripts/prerequisites test
	@scripts/test

.PHONY: build
build: ## Build the binary for production
	@scripts/prerequisites demo
	cargo build --locked --release -p jobico
	@echo "$(CARGO_TARGET_DIR)/release/jobico"

.PHONY: install
install: ## Build it and put it on the PATH (~/.cargo/bin)
	@scripts/prerequisites demo
	cargo install --locked --path cli

.PHONY: examples
examples: ## Build the example functions to examples/dist
	@examples/build

.PHONY: kafka cassandra services services-stop
kafka: ## Run Apache Kafka on loopback, data in .services
	@scripts/services start kafka
cassandra: ## Run Apache Cassandra on loopback, data in .services
	@scripts/services start cassandra
services: ## Run both
	@scripts/services start all
services-stop: ## Stop both
	@scripts/services stop all

.PHONY: fmt lint deny
fmt: ## Format the code
	cargo fmt
lint: ## Formatting and lints
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
deny: ## Licences and sources of what is built in
	"$$(scripts/tools cargo-deny)" --log-level error check licenses sources bans

.PHONY: crash-check crash-test
crash-check: ## Kill processors under 100000 events; look for one outcome of each, in Kafka and in the store
	@scripts/crash-check
crash-test: ## Kill and stop processors and brokers at random: MINUTES=5
	@scripts/crash-test $(or $(MINUTES),5)

.PHONY: bench
bench: ## Measure against real Kafka and print the table
	@scripts/prerequisites bench
	@load-tests/bench
