#!/usr/bin/env bash
# Makes .venv and installs the project into it, with uv, which it first puts into .tools.
#
#   tools/bootstrap.sh run    what the command needs
#   tools/bootstrap.sh dev    that, and what the tests and the linters need
#
# Needs a Python >= 3.11 that has pip; PYTHON names it when it is not `python3`.  Does nothing when
# the environment already fits pyproject.toml and constraints.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '==> %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

what=${1:-run}
case $what in run | dev) ;; *) fail "unknown argument '$what': say 'run' or 'dev'" ;; esac

# --- the Python -----------------------------------------------------------------------------------
PYTHON=${PYTHON:-python3}
command -v "$PYTHON" >/dev/null ||
    fail "there is no '$PYTHON'; install Python >= 3.11, or name it: make PYTHON=python3.12 ..."
version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "'$PYTHON' is Python $version, and 3.11 or newer is needed; name another: make PYTHON=python3.12 ..."
interpreter=$("$PYTHON" -c 'import sys; print(sys.executable)')

# --- nothing to do? -------------------------------------------------------------------------------
here=$(pwd -P)
key="$here $version $(cat pyproject.toml constraints.txt | "$PYTHON" -c \
    'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')"
fits() { [ -f ".venv/.installed-$1" ] && [ "$(cat ".venv/.installed-$1")" = "$key" ]; }
if fits "$what" || fits dev; then
    say "the environment .venv is up to date"
    exit 0
fi

# --- uv -------------------------------------------------------------------------------------------
uv=.tools/bin/uv
if ! "$uv" --version >/dev/null 2>&1; then
    "$PYTHON" -m pip --version >/dev/null 2>&1 ||
        fail "'$PYTHON' has no pip; install it (on Debian: apt-get install python3-pip)"
    say "installing uv into .tools"
    rm -rf .tools
    PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
        "$PYTHON" -m pip install -qq --target .tools 'uv>=0.7' ||
        fail "pip could not install uv (see above)"
fi
export UV_PYTHON_DOWNLOADS=never
unset VIRTUAL_ENV CONDA_PREFIX
cache=$("$uv" cache dir 2>/dev/null || true)
if [ -z "$cache" ] || ! mkdir -p "$cache" 2>/dev/null || [ ! -w "$cache" ]; then
    export UV_CACHE_DIR=$here/.tools/cache # a user without a home directory
    mkdir -p "$UV_CACHE_DIR"
elif [ -z "${UV_LINK_MODE:-}" ] && [ "$(stat -c %d "$cache")" != "$(stat -c %d .)" ]; then
    export UV_LINK_MODE=copy # no hard links from one file system to another
fi
quiet=(--quiet)
[ -t 2 ] && quiet=()

# --- the environment ------------------------------------------------------------------------------
for stamp in .venv/.installed-run .venv/.installed-dev; do
    # Made by this script, but in another place (the checkout was moved) or with another Python.
    if [ -f "$stamp" ] && [[ "$(cat "$stamp")" != "$here $version "* ]]; then
        say "removing .venv, which belongs to another folder or another Python"
        rm -rf .venv
    fi
done
if [ -e .venv ] && ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    fail ".venv has no Python >= 3.11 that works; remove it and try again"
fi
if [ ! -e .venv ]; then
    say "making the environment .venv with Python $version"
    "$uv" venv ${quiet[@]+"${quiet[@]}"} --python "$interpreter" .venv
fi

groups=()
[ "$what" = dev ] && groups=(--group dev)
say "installing the project into .venv (the first time this fetches some gigabytes)"
rm -f ".venv/.installed-$what"
"$uv" pip install ${quiet[@]+"${quiet[@]}"} --python .venv/bin/python --constraints constraints.txt \
    --editable . ${groups[@]+"${groups[@]}"} ||
    fail "uv could not install the project (see above); where packages come from a mirror, note that uv
       reads not pip's configuration but its own, such as UV_DEFAULT_INDEX and SSL_CERT_FILE"
printf '%s\n' "$key" >".venv/.installed-$what"
