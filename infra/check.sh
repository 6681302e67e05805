#!/usr/bin/env bash
# Sets up the environment and runs linters, types and the contract of imports in it.
set -euo pipefail
source "$(dirname -- "$0")/environment.sh"
ruff check .
ruff format --check .
mypy
lint-imports --no-cache
