#!/bin/sh
# Static checks: formatting, vet, staticcheck (its choices are explained in
# staticcheck.conf) and that the pinned versions agree.
set -eu
cd "$(dirname "$0")/.."

unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
	echo "lint: not formatted by gofmt:" >&2
	echo "$unformatted" >&2
	exit 1
fi

go vet ./...
go vet -tags faults ./faults/...
go vet -tags mutation ./mutation/...
go tool staticcheck ./...
(cd interop && go vet ./... && go vet -tags az ./...)

# The SQLite engine breaks in silence with another C library than its own.
sqlite=$(go list -m -f '{{.Dir}}' modernc.org/sqlite)
want=$(sed -n 's/^[[:space:]]*modernc.org\/libc \(v[^ ]*\).*/\1/p' "$sqlite/go.mod")
have=$(go list -m -f '{{.Version}}' modernc.org/libc)
if [ "$want" != "$have" ]; then
	echo "lint: modernc.org/libc is $have, but modernc.org/sqlite was built with $want" >&2
	exit 1
fi

go mod tidy -diff
(cd interop && go mod tidy -diff)
echo "lint: ok"
