#!/bin/sh
# Installs the az command into az/.venv, an ignored folder. Quick when nothing
# changed; otherwise it takes minutes and 1 GB.
set -eu
cd "$(dirname "$0")"

skip() {
	if [ "${CI:-}" = true ]; then
		echo "interop: $1; CI skips nothing" >&2
		exit 1
	fi
	echo "interop: skipped: $1"
	exit 0
}

command -v python3 >/dev/null || skip "az (python3 is not installed)"
python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
	skip "az (python3 is older than 3.11 or lacks the modules venv and ensurepip; Debian has them in python3-venv)"
stamp="$(python3 --version) $(cksum <requirements.txt)"
if [ -f .venv/.installed ] && [ "$(cat .venv/.installed)" = "$stamp" ]; then
	exit 0
fi
echo "interop: installing az"
rm -rf .venv
python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
.venv/bin/python -m pip check
echo "$stamp" >.venv/.installed
