#!/usr/bin/env bash
# Sets up the environment and runs linters, types and all tests in it; options go to pytest.
source "$(dirname "$0")/environment.sh"
ruff check .
ruff format --check .
mypy
# Two at a time, each file in one of them: much of their time is waiting for servers and workers to start.
# In the order of their folders: the long ones come first, so that neither is alone for long at the end.
exec pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"
