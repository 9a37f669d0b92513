# The two commands of a newcomer are `make run` and `make test`.

BIN ?= bin
GOBUILDFLAGS ?=

PLUGINS := $(wildcard plugins/*/*)

.PHONY: help run build test check bench proto

help: ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

run: build ## build everything and start it, with nothing configured
	$(BIN)/fluxgate serve --config "" --print-key

# A plugin's program is named after its folder: plugins/sink/pickle is
# fluxgate-sink-pickle.
build: ## build fluxgate and every plugin into bin
	@mkdir -p $(BIN)/plugins
	go build $(GOBUILDFLAGS) -o $(BIN)/fluxgate ./core
	@$(foreach p,$(PLUGINS),echo go build -o $(BIN)/$(p) && \
		go build $(GOBUILDFLAGS) -o $(BIN)/plugins/fluxgate-$(subst /,-,$(p:plugins/%=%)) ./$(p) &&) true
