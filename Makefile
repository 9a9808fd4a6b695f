# What each target does is said in README.md and CONTRIBUTING.md.
GO ?= go
BIN := bin/avouch
SOURCES := $(shell find . -name '*.go' -not -path './interop/*' -not -path './bench/*') go.mod go.sum

.PHONY: build demo test unit race lint interop faults fuzz bench clean

build: $(BIN)

$(BIN): $(SOURCES)
	$(GO) build -trimpath -o $@ ./cmd/avouch

demo: build
	$(BIN) demo

# Everything: static checks, unit tests under the race detector, black-box and
# fault tests of the built program, and the real SDKs.
test: lint race faults interop

unit:
	$(GO) test ./...

race:
	$(GO) test -race ./...

lint:
	sh scripts/lint.sh

# Kills and full disks, against the built program.
faults: build
	AVOUCH_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 -tags faults ./faults/...

# The unmodified SDKs of each language, against the built program.
interop: build
	sh interop/setup.sh
	cd interop && AVOUCH_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 ./...

# Each fuzz target for a short while; FUZZTIME=10m for longer.
fuzz:
	sh scripts/fuzz.sh

bench: build
	AVOUCH_BIN=$(CURDIR)/$(BIN) $(GO) run ./bench

clean:
	rm -rf bin out
