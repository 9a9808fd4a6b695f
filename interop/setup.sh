#!/bin/sh
# Installs what the programs of this folder need, into ignored folders beside
# them: javascript/node_modules and python/.venv. Quick when nothing changed.
# A language that this machine lacks is skipped with a word, but not in CI.
set -eu
cd "$(dirname "$0")"

skip() {
	if [ "${CI:-}" = true ]; then
		echo "interop: $1; CI skips nothing" >&2
		exit 1
	fi
	echo "interop: skipped: $1"
}

# current FILE VALUE: FILE holds VALUE.
current() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

setup_javascript() {
	if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
		skip "JavaScript, and with it the storage emulator that all programs need (node and npm, version 20 or later, are not installed)"
		return
	fi
	version=$(node --version)
	major=${version#v}
	major=${major%%.*}
	if [ "$major" -lt 20 ]; then
		skip "JavaScript (node is $version; 20 or later is needed)"
		return
	fi
	stamp="$version $(cksum <javascript/package-lock.json)"
	current javascript/node_modules/.installed "$stamp" && return
	if [ "$major" -lt 22 ]; then
		echo "interop: the JavaScript SDKs ask for node 22; they are run with $version"
	fi
	echo "interop: installing the JavaScript SDKs"
	(cd javascript && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
	echo "$stamp" >javascript/node_modules/.installed
}

setup_python() {
	if ! command -v python3 >/dev/null; then
		skip "Python (python3 is not installed)"
		return
	fi
	if ! python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
		skip "Python (python3 is older than 3.11 or lacks the modules venv and ensurepip; Debian has them in python3-venv)"
		return
	fi
	stamp="$(python3 --version) $(cksum <python/requirements.txt)"
	current python/.venv/.installed "$stamp" && return
	echo "interop: installing the Python SDKs"
	rm -rf python/.venv
	python3 -m venv python/.venv
	python/.venv/bin/python -m pip install --quiet --disable-pip-version-check -r python/requirements.txt
	python/.venv/bin/python -m pip check
	echo "$stamp" >python/.venv/.installed
}

setup_javascript
setup_python
