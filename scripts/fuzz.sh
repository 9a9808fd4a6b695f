#!/bin/sh
# Runs each fuzz target for FUZZTIME (20s unless told).
set -eu
cd "$(dirname "$0")/.."
: "${FUZZTIME:=20s}"
grep -rl --include='*_test.go' '^func Fuzz' internal cmd | xargs -n1 dirname | sort -u | while read -r dir; do
	grep -h '^func Fuzz' "$dir"/*_test.go | sed 's/^func \(Fuzz[A-Za-z0-9_]*\).*/\1/' | sort | while read -r target; do
		echo "fuzz: $dir $target"
		go test "./$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$FUZZTIME" </dev/null
	done
done
