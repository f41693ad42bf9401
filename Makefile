# k-mcp. `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
CLUSTER := tests/cluster/cluster
# Only `make demo KUBECONFIG=…` uses a cluster of yours; one that merely stands in the environment is never touched.
ifeq ($(origin KUBECONFIG),command line)
export KUBECONFIG
else
unexport KUBECONFIG
endif

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: release ## A real cluster, broken workloads, an McpEndpoint, a token and a real answer; Ctrl-C ends it. KUBECONFIG=… uses your cluster
	@if [ -z "$${KUBECONFIG:-}" ]; then $(CLUSTER) build; fi
	@KMCP_BIN=$(CURDIR)/target/release/k-mcp config/demo/demo.sh

test: cluster clients ## Everything: pure tables, real clusters, other people's clients
	$(CARGO) test --lib --bins
	$(CARGO) test --test it -- --test-threads 6

unit: ## The pure tests only: seconds, no cluster
	$(CARGO) test --lib

build: ## The debug binary
	$(CARGO) build

release: ## The release binary
	$(CARGO) build --release

cluster: ## The binary of the test cluster, built once (minutes), and the runtime of its real nodes
	$(CLUSTER) build
	@if [ "$$(id -u)" = 0 ]; then $(CLUSTER) runtime; fi

selftest: cluster ## The test cluster's own test: every kind, several at once, the OIDC issuer, nothing left behind
	tests/cluster/selftest.sh

clients: ## MCP clients that nobody here wrote: Inspector, TypeScript SDK, Python SDK
	tests/clients/install

lint: ## Format, clippy
	$(CARGO) fmt --all --check
	$(CARGO) clippy --all-targets -- -D warnings

fmt: ## Format the code
	$(CARGO) fmt --all

deny: ## Licenses, sources and bans of all dependencies (needs cargo-deny)
	$(CARGO) deny --all-features check licenses bans sources

audit: ## Known vulnerabilities of all dependencies (needs cargo-deny and the network)
	$(CARGO) deny check advisories

generate: build ## Write what is generated: the CRD, the golden schemas of the tools
	target/debug/k-mcp crd > crds/mcpendpoints.yaml
	UPDATE_GOLDEN=1 $(CARGO) test --lib golden

check-generated: build ## Fail where what is generated is not what is committed
	target/debug/k-mcp crd | diff -u crds/mcpendpoints.yaml -
	$(CARGO) test --lib golden
	target/debug/k-mcp check config/samples/*.yaml

doc: ## rustdoc, warnings are errors
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items

ci: ## What decides whether a change lands
	.ci/run

clean: ## Stop test clusters and remove build output
	-$(CLUSTER) down --all
	$(CARGO) clean

.PHONY: help demo test unit build release cluster selftest clients lint fmt deny audit generate check-generated doc ci clean
