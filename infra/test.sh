#!/usr/bin/env bash
# Sets up the environment and runs linters, types and all tests in it; options go to pytest.
source "$(dirname "$0")/environment.sh"
./infra/check.sh
# Two at a time (TEST_WORKERS changes it), each file in one process: they wait long for servers and workers to start.
# In the order of their folders: the long ones come first, so that no process works alone for long at the end.
# Published networks at full size are for `make test-full`.
exec pytest -m "not full_size" --numprocesses "${TEST_WORKERS:-2}" --dist loadfile --no-loadscope-reorder "$@"
