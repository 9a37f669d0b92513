# The two commands of a newcomer are `make run` and `make test`.

SHELL := /bin/bash
.SHELLFLAGS := -eo pipefail -c

BIN ?= bin
GOBUILDFLAGS ?=
TESTFLAGS ?=
FUZZTIME ?= 10s
TESTTIME := 30m # for the tests of a package: core needs more than the ten minutes of Go under the race detector

PLUGINS := $(wildcard plugins/*/*)
PACKAGES := ./... ./testdata/servers ./testdata/carbontest ./testdata/rogue # a pattern passes testdata by
WIRE := sdk/internal/wire

.PHONY: help run build test race fuzz check bench chaos proto

help: ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/'

run: build ## build everything and start it, with nothing configured
	@$(BIN)/fluxgate serve --config "" --print-key

# A plugin's program is named after its folder: plugins/sink/pickle is
# fluxgate-sink-pickle.
build: ## build fluxgate, every plugin and the sdk for third parties into bin
	@mkdir -p $(BIN)/plugins
	go build $(GOBUILDFLAGS) -o $(BIN)/fluxgate ./core
	@for p in $(PLUGINS); do \
		program=$(BIN)/plugins/fluxgate-$$(echo $${p#plugins/} | tr / -); \
		echo go build $(GOBUILDFLAGS) -o $$program ./$$p; \
		go build $(GOBUILDFLAGS) -o $$program ./$$p; \
	done
	@.ci/sdk $(BIN)/sdk

test: ## run every test, also those against real servers
	@.ci/servers
	go test -timeout $(TESTTIME) $(TESTFLAGS) $(PACKAGES)

race: ## the same under the race detector
	@.ci/servers
	go test -race -timeout $(TESTTIME) $(TESTFLAGS) $(PACKAGES)

# At the end of its time the fuzzer now and then takes its own deadline for a
# failure, without a failing input: then it runs once more.
fuzz: ## let every fuzz target run for FUZZTIME
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			fuzz="go test -run ^$$ -fuzz ^$$target$$ -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package"; \
			out=$$($$fuzz 2>&1) || { grep -q 'context deadline exceeded' <<<"$$out" && out=$$($$fuzz 2>&1); } || \
				{ echo "$$out"; exit 1; }; \
			tail -n 1 <<<"$$out"; \
		done; \
	done

check: ## formatting, vet, lint, the direction of imports, generated code
	@.ci/servers
	@files=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$files" || { echo "not formatted: $$files"; exit 1; }
	go vet $(PACKAGES)
	go tool staticcheck $(PACKAGES)
	.ci/imports
	@$(MAKE) -s proto WIRE_OUT=$$(mktemp -d) COMPARE=1
	@go mod tidy -diff || { echo 'go.mod is not tidy: run go mod tidy'; exit 1; }
	@echo 'all checks hold'

# With COMPARE the generated code is made elsewhere and compared, without the
# line that tells the version of protoc.
WIRE_OUT ?= .
proto: ## generate sdk/internal/wire and sdk/python/fluxgate_pb2.py from sdk/fluxgate.proto
	@mkdir -p $(WIRE_OUT)/sdk/python
	@protoc -I sdk \
		--plugin=protoc-gen-go=$$(go tool -n protoc-gen-go) --plugin=protoc-gen-go-grpc=$$(go tool -n protoc-gen-go-grpc) \
		--go_out=$(WIRE_OUT) --go_opt=module=fluxgate --go-grpc_out=$(WIRE_OUT) --go-grpc_opt=module=fluxgate \
		--python_out=$(WIRE_OUT)/sdk/python fluxgate.proto
	@test -z "$(COMPARE)" || for f in $(WIRE)/*.go sdk/python/fluxgate_pb2.py; do \
		diff -I '^// .*protoc  *v' -I '^# Protobuf Python Version' $$f $(WIRE_OUT)/$$f || { echo "$$f is not up to date: run make proto"; exit 1; }; \
	done

bench: build ## measure, as ratios within one run, and write the page of numbers; BENCHFLAGS=-quick for a look at it
	@.ci/servers
	go build -o $(BIN)/fluxgate-bench ./core/bench
	$(BIN)/fluxgate-bench -bin $(BIN) $(if $(BENCHFLAGS),$(BENCHFLAGS),-page core/bench/RESULTS.md)

chaos: build ## break things around a running fluxgate and settle the books; CHAOSFLAGS=-subset for three minutes of it
	@.ci/servers
	go build -o $(BIN)/fluxgate-chaos ./core/chaos
	$(BIN)/fluxgate-chaos -bin $(BIN) $(if $(CHAOSFLAGS),$(CHAOSFLAGS),-table core/chaos/RESULTS.md)
