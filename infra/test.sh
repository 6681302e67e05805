#!/usr/bin/env bash
# Sets up the environment and runs linters, types and all tests in it; options go to pytest.
source "$(dirname "$0")/environment.sh"
ruff check .
ruff format --check .
mypy
# Two at a time, each file in one of them: much of their time is waiting for servers and workers to start.
exec pytest --numprocesses 2 --dist loadfile "$@"
