#!/usr/bin/env bash
# What the linters have to say; changes nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '==> %s\n' "$*"; }

say "ruff: the rules"
.venv/bin/ruff check
say "ruff: the format"
.venv/bin/ruff format --check
say "mypy: the types"
.venv/bin/mypy
say "import-linter: who may import whom"
.venv/bin/lint-imports --no-logo
