# Every target is a plain command that also works by itself.
# Tools of pinned versions are kept in EVENTSINK_CACHE, outside the tree.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export EVENTSINK_CACHE ?= $(HOME)/.cache/eventsink
OUT ?= out
DENY_VERSION := 0.20.2
DENY := $(EVENTSINK_CACHE)/cargo-deny-$(DENY_VERSION)/bin/cargo-deny
# Tests that keep every core busy run one at a time; the others mostly wait.
HEAVY := lands_every_event survives_kill_nine two_owners stays_in_its_budget
LIGHT := $(filter-out $(HEAVY),$(basename $(notdir $(wildcard e2e/tests/*.rs worker/tests/*.rs)))) \
  $(filter-out chaos cluster operator_api operator_scale,$(notdir $(patsubst %/main.rs,%,$(wildcard e2e/tests/*/main.rs worker/tests/*/main.rs))))
# Needs root, so no other test depends on it.
CLUSTER := e2e/rigs/cluster
RIGS := e2e/rigs/kafka e2e/rigs/s3 e2e/rigs/azure e2e/rigs/gcs e2e/rigs/python e2e/rigs/promtool
LINTERS := e2e/rigs/helm e2e/rigs/kubeconform e2e/rigs/lua e2e/rigs/definitions
# No file may know the machine it was written on; the brackets keep this line from finding itself.
MACHINE_PATHS := /[w]ork/|/[r]oot/|/[h]ome/

.PHONY: help demo build test cluster e2e scale chaos bench sabotage generate check lint fmt vet advisories tools rigs \
  $(RIGS) $(LINTERS) $(CLUSTER)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## land sample events in ./out without any server, then audit them
	cargo build --workspace --bin eventsink-worker
	"$${CARGO_TARGET_DIR:-target}/debug/eventsink-worker" demo --out $(OUT)

build: ## build everything
	cargo build --workspace

test: rigs build ## all tests: first those without servers, then with a real Kafka and servers of S3, Azure and Google Cloud
	cargo test --workspace --lib --bins --test definition --test every_field --test stages
	e2e/rigs/python e2e/read/test_verify.py
	e2e/rigs/python e2e/chaos/test_run.py
	e2e/rigs/with kafka s3 azure gcs -- bash -c 'cargo test --workspace $(LIGHT:%=--test %) -- --test-threads=3 && \
	  cargo test --workspace $(HEAVY:%=--test %) -- --test-threads=1'

cluster: rigs e2e/rigs/helm $(if $(KUBECONFIG),,$(CLUSTER)) build ## operator and workers on a real Kubernetes: kubectl apply, scale, kill -9, delete; SCENARIO=name picks some
	e2e/rigs/with $(if $(KUBECONFIG),,cluster) kafka s3 -- cargo test --workspace --test cluster --test operator_api -- --test-threads=3 --nocapture $(SCENARIO)

e2e: $(if $(TEST),,cluster) rigs build ## only the tests with servers, those on Kubernetes first; TEST=name picks one file of e2e/tests
	e2e/rigs/with kafka s3 azure gcs -- cargo test --workspace \
	  $(or $(TEST:%=--test %),$(LIGHT:%=--test %) $(HEAVY:%=--test %)) -- --test-threads=1 --nocapture

scale: $(CLUSTER) build ## ten to a thousand sinks on one operator: prints time to settle, requests, time of the processor, memory
	e2e/rigs/with cluster -- cargo test --workspace --test operator_scale -- --nocapture

chaos: rigs build ## the fault matrix and the long simulation; writes docs/chaos.md; ROWS=1,soak picks rows
	EVENTSINK_STEPS=$${EVENTSINK_STEPS:-100000000} cargo test --workspace --test simulation
	e2e/rigs/with kafka s3 -- e2e/rigs/python e2e/chaos/run.py --to docs/chaos.md $(if $(ROWS),--only '$(ROWS)')

bench: rigs ## what an event costs, beside the bare loop on a real Kafka; writes docs/performance.md; BENCH=standard,avro picks cases
	cargo build --workspace --bin bench
	cargo build --release --package eventsink-worker --bin eventsink-worker --example bare_loop
	target=$$(realpath "$${CARGO_TARGET_DIR:-target}"); EVENTSINK_WORKER=$$target/release/eventsink-worker \
	  EVENTSINK_BARE_LOOP=$$target/release/examples/bare_loop "$$target/debug/bench" --to docs/performance.md $(BENCH:%=--only %)

sabotage: ## break each rule of the delivery contract in a copy of the code; its test must go red
	e2e/sabotage/run

generate: e2e/rigs/python ## write the CustomResourceDefinition anew, and what is made of it and of other files
	cargo build --quiet --workspace --features eventsink-crds/crdgen --bin crdgen
	"$${CARGO_TARGET_DIR:-target}/debug/crdgen" > crds/yaml/eventsinks.yaml.new
	mv crds/yaml/eventsinks.yaml.new crds/yaml/eventsinks.yaml
	e2e/rigs/python e2e/charts/generate.py

check: lint test ## lint, then test

lint: vet $(DENY) e2e/rigs/python e2e/rigs/promtool $(LINTERS) ## format, clippy, licences and sources of dependencies, scripts, sabotage that applies, alert rules, chart and manifests, no machine paths
	cargo fmt --all --check
	$(DENY) check licenses bans sources
	"$$(e2e/rigs/python bin)/shellcheck" -x \
	  e2e/rigs/{cluster,kafka,s3,azure,gcs,python,promtool,helm,kubeconform,lua,definitions,with,lib.sh} \
	  e2e/rigs/kubernetes/node image/rootfs e2e/sabotage/run .ci/run
	e2e/sabotage/run --check
	e2e/rigs/promtool check rules config/prometheus/alerts.yaml config/prometheus/operator-alerts.yaml
	e2e/rigs/python e2e/charts/generate.py --check
	e2e/rigs/python -m unittest discover -s e2e/charts
	found=0; git grep -nIE '$(MACHINE_PATHS)' || found=$$?; ((found == 1))

fmt: ## format the sources
	cargo fmt --all

vet: ## compiler and clippy warnings as errors
	cargo clippy --workspace --all-targets --locked -- -D warnings

advisories: $(DENY) ## known flaws of dependencies; fetches the database
	$(DENY) check advisories

tools: rigs $(LINTERS) $(CLUSTER) $(DENY) ## install every tool that tests and lints need (-j4 for all at once)

rigs: $(RIGS)

$(RIGS) $(LINTERS) $(CLUSTER):
	@$@ get

$(DENY):
	cargo install --locked --quiet --debug --root $(EVENTSINK_CACHE)/cargo-deny-$(DENY_VERSION) \
	  --target-dir $(EVENTSINK_CACHE)/cargo-deny-build cargo-deny@$(DENY_VERSION)
	rm -rf $(EVENTSINK_CACHE)/cargo-deny-build
