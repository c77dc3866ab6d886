# comfyctl: make demo shows it, make test proves it. Everything else is here too.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/comfyctl/comfyctl/internal/cli.version=$(VERSION)
TOOLS   := $(CURDIR)/bin/tools

# Versions of the tools that check this repository.
GOLANGCI   := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.13.2
GORELEASER := github.com/goreleaser/goreleaser/v2@v2.13.3
GOVULN     := golang.org/x/vuln/cmd/govulncheck@v1.8.0

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: build
build: runner-bins ## Build bin/comfyctl with the runner embedded.
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/comfyctl ./cmd/comfyctl

.PHONY: runner-bins
runner-bins: ## Build the runners that comfyctl embeds (linux, amd64 and arm64).
	hack/runner-bins.sh

.PHONY: demo
demo: ## Check, pack, serve and call examples/hello on the stub engine: no GPU, no Docker, no download.
	CGO_ENABLED=0 $(GO) build -o bin/comfyctl ./cmd/comfyctl
	hack/demo.sh

.PHONY: test
test: ## Run every test, installing and starting what they need (Debian, root).
	hack/test-setup.sh
	hack/test.sh

.PHONY: unit
unit: ## Run the tests that need nothing but Go.
	$(GO) test ./...

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## gofmt, vet and golangci-lint.
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(TOOLS)/golangci-lint run ./...

.PHONY: vuln
vuln: $(TOOLS)/govulncheck ## Look the dependencies up in Go's vulnerability database.
	$(TOOLS)/govulncheck ./...

.PHONY: release-check
release-check: $(TOOLS)/goreleaser ## Check .goreleaser.yaml, build all targets, run the linux binary.
	hack/release-check.sh $(TOOLS)/goreleaser

.PHONY: e2e
e2e: ## Draw real pictures with real ComfyUI on the CPU: COMFYUI_SOURCE=DIR[,DIR…] make e2e
	e2e/run.sh

.PHONY: e2e-gpu
e2e-gpu: ## The same where a GPU is at hand.
	e2e/run.sh --gpu

.PHONY: kill
kill: ## Kill runner and engine at random under a client: COMFY_KILL_JOBS, COMFY_KILL_RUNS, COMFY_KILL_SEED.
	COMFY_KILL_JOBS=$${COMFY_KILL_JOBS:-1000} $(GO) test -count=1 -v -timeout 3h -run TestKill ./pkg/runner/faults

.PHONY: chaos
chaos: ## Faults at random under load, half an hour: COMFY_CHAOS_SECONDS, COMFY_CHAOS_SEED.
	COMFY_CHAOS_SECONDS=$${COMFY_CHAOS_SECONDS:-1800} $(GO) test -count=1 -v -timeout 3h -run TestChaos ./pkg/runner/faults

.PHONY: bench
bench: ## Measure pack and runner beside their alternatives; prints ratios.
	bench/run.sh

.PHONY: clean
clean: ## Remove what was built.
	rm -rf bin dist .comfyctl

$(TOOLS)/golangci-lint:
	GOBIN=$(TOOLS) $(GO) install $(GOLANGCI)
$(TOOLS)/goreleaser:
	GOBIN=$(TOOLS) $(GO) install $(GORELEASER)
$(TOOLS)/govulncheck:
	GOBIN=$(TOOLS) $(GO) install $(GOVULN)
