# What each target does is said in README.md and CONTRIBUTING.md.
GO ?= go
BIN := bin/avouch
SOURCES := $(shell find . -name '*.go' -not -path './interop/*' -not -path './bench/*') go.mod go.sum

.PHONY: build demo test unit race lint mutation interop interop-az faults fuzz bench clean

build: $(BIN)

$(BIN): $(SOURCES)
	$(GO) build -trimpath -o $@ ./cmd/avouch

demo: build
	$(BIN) demo

# Everything: static checks, unit tests under the race detector, mutants of the
# verifier, black-box and fault tests of the built program, and the real SDKs.
test: lint race mutation faults interop

unit:
	$(GO) test ./...

race:
	$(GO) test -race ./...

lint:
	sh scripts/lint.sh

# Each check of the verifier and of the trust decision, broken in turn: their own
# tests must notice.
mutation:
	$(GO) test -count=1 -tags mutation ./mutation/...

# Kills and full disks, against the built program.
faults: build
	AVOUCH_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 -tags faults ./faults/...

# The unmodified SDKs of each language, against the built program.
interop: build
	sh interop/setup.sh
	cd interop && AVOUCH_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 ./...

# The unmodified az command, which takes 700 MB and some minutes to install.
interop-az: build
	sh interop/az/setup.sh
	cd interop && AVOUCH_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 -tags az -run TestAzureCLI ./...

# Each fuzz target for a short while; FUZZTIME=10m for longer.
fuzz:
	sh scripts/fuzz.sh

bench: build
	AVOUCH_BIN=$(CURDIR)/$(BIN) $(GO) run ./bench

clean:
	rm -rf bin out
