#!/bin/sh
# Before the set-up: whether the locked packages can be installed here. `supported.sh PYTHON EXTRA`; one line says what to do.
set -eu
python=$1 extra=$2 see="see docs/installing.md"
name="name a Python 3.11 with PYTHON=/path/to/python3.11, after \`make clean\` if .venv has another"
stop() {
    echo "make setup: $1" >&2
    exit 1
}
[ "$(uname -s)" = Linux ] || stop "expected Linux, found $(uname -s): use a virtual machine, a container or a server with x86-64 Linux; $see"
if [ "$(uname -m)" != x86_64 ]; then
    [ "$extra" != cpu ] || stop "expected an x86-64 processor, found $(uname -m), for which the CPU build is not locked: take an x86-64 machine; $see"
    echo "make setup: the locked packages were never tried on $(uname -m)" >&2
fi
command -v "$python" >/dev/null || stop "expected Python 3.11, found no $python: install it, or name it with PYTHON=/path/to/python3.11; $see"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case "$extra $version" in
*" 3.11" | "gpu 3.12") ;;
*" 3.12") stop "the CPU build is locked for Python 3.11 alone, found 3.12: $name; $see" ;;
*) stop "expected Python 3.11, found $version: $name; $see" ;;
esac
"$python" -c 'import venv, ensurepip' 2>/dev/null || stop "$python cannot make virtual environments: on Debian and Ubuntu install python$version-venv"
[ ! -x .venv/bin/python ] || exit 0
free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1048576) }')
[ "$free" -ge 6 ] || stop "expected 6 GB of room for the packages, found $free in $(pwd)"
