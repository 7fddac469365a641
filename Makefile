# Every target that people and CI use. `make` alone prints them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

stack   := go run ./dev/stack
tool    := go tool -modfile=dev/tools/go.mod
version := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# dev/stack/parts, dev/tools and dev/compose/check are modules of their own, which ./... leaves out.

.PHONY: help
help: ## print this
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: up ## bring the stack up and watch a database being provisioned
	@eval "$$($(stack) env)" && go run ./dev/demo

.PHONY: up
up: ## start the local stack (the first run builds it), or bring a running one up to date
	@$(stack) up

.PHONY: down
down: ## stop the local stack and remove all of it but the cache
	@$(stack) down

.PHONY: status
status: ## show what of the local stack is up, and where
	@$(stack) status

.PHONY: logs
logs: ## follow the logs of the stack; of one part: make logs PART=worker
	@$(stack) logs -f $(PART)

.PHONY: build
build: ## build bin/daap
	go build -trimpath -ldflags '-X main.version=$(version)' -o bin/daap ./cmd/daap

.PHONY: generate
generate: ## generate the API's server and client from openapi.yaml
	go generate ./api

.PHONY: fmt
fmt: ## format the code
	$(tool) golangci-lint fmt

.PHONY: lint
lint: ## lint, with all build tags at once; workflows also for what would not replay
	$(tool) golangci-lint run --build-tags e2e,bench,chaos
	$(tool) golangci-lint run ./cmd/daap
	$(tool) workflowcheck ./workflows/...

.PHONY: test
test: test-deps ## unit, workflow, persistence and contract tests (starts the PostgreSQL it needs)
	go test ./...

.PHONY: race
race: test-deps ## the same with the race detector, which takes several times as long
	go test -race -timeout 40m ./...

.PHONY: test-deps
test-deps:
	@bash dev/test-deps.sh

# How many tests of the stack run at once. They wait most of their time.
AT_ONCE ?= 4

.PHONY: e2e
e2e: up ## the whole way on the local stack: API, workflow, CloudNativePG, psql (LONG=1: waits for every schedule, 10 min without S3)
	@eval "$$($(stack) env)" && DAAP_E2E_AT_ONCE=$(AT_ONCE) DAAP_E2E_LONG=$(LONG) \
		go test -tags e2e -count=1 -v -parallel 256 -timeout 60m $(if $(RUN),-run '$(RUN)') ./dev/e2e/...

# What a worker of the chaos tests is started with; the tests listen where it asks.
chaos := GOFLAGS=-tags=chaos DAAP_STEP_DEADLINE=60s DAAP_CHAOS_URL=http://127.0.0.1:18999

.PHONY: chaos
chaos: ## kill, cut and fill what operations need, at each of their steps, on the local stack (SHORT=1: CI's part)
	@$(chaos) $(stack) up; status=$$?; \
	if [ $$status = 0 ]; then \
		eval "$$($(stack) env)" && DAAP_CHAOS_AT_ONCE=$(AT_ONCE) \
			go test -tags chaos -count=1 -v -timeout 120m -parallel 256 $(if $(SHORT),-short) \
			$(if $(RUN),-run '$(RUN)') ./dev/chaos/; status=$$?; \
	fi; \
	$(if $(LAST),exit $$status,env -u DAAP_STEP_DEADLINE -u DAAP_CHAOS_URL $(stack) up && exit $$status)

.PHONY: bench
bench: test-deps ## measure the budgets of docs/performance.md, within one run
	@$(stack) build
	DAAP_STACK_CACHE="$$($(stack) cache)" go test -tags bench -count=1 -v -timeout 40m ./dev/bench/

.PHONY: record
record: ## record a run on the stack for the replay test: make record WORKFLOW=<workflow id> NAME=provision_database_parked
	@bash dev/record.sh '$(WORKFLOW)' '$(NAME)'

.PHONY: check
check: test-deps ## what CI says: generated code, tidy, secrets, lint, compose files, tests
	$(MAKE) generated
	$(MAKE) static
	$(MAKE) test

.PHONY: generated
generated: ## generate and tidy, and fail where that changes something
	$(MAKE) generate
	go mod tidy
	git diff --exit-code -- api/oas go.mod go.sum

.PHONY: static
static: test-deps ## the checks that run nothing of DAAP: licences, secrets, prose, lint, compose files
	$(MAKE) licences
	$(MAKE) secrets
	$(MAKE) prose
	$(MAKE) lint
	bash dev/compose/validate.sh

.PHONY: licences
licences: ## check the licences of all modules in the daap binary
	go -C dev/tools run ./licences ../..

.PHONY: secrets
secrets: ## search the work tree and all commits for secrets
	bash dev/tools/secrets.sh

.PHONY: prose
prose: ## check that the texts in dev/prose/clean.txt are plain English
	go run ./dev/prose

.PHONY: k3d-up
k3d-up: ## for people with Docker: Kubernetes with CloudNativePG in k3d
	bash dev/k3d/up.sh

.PHONY: k3d-down
k3d-down: ## for people with Docker: remove what k3d-up made
	bash dev/k3d/down.sh
