#!/usr/bin/env bash
# Sets up the environment and runs linters, types and all tests in it; options go to pytest.
source "$(dirname "$0")/environment.sh"
ruff check .
ruff format --check .
mypy
exec pytest "$@"
