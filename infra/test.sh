#!/usr/bin/env bash
# Sets up the environment and runs linters, types and all tests in it; options go to pytest.
set -euo pipefail
source "$(dirname -- "$0")/environment.sh"
# Beside the tests, which wait for servers often; mypy alone takes one core. What it says is shown in the end.
checks=$(mktemp)
./infra/check.sh >"$checks" 2>&1 &
check=$!
trap 'kill "$check" 2>/dev/null || true; rm -f "$checks"' EXIT
# Two at a time (TEST_WORKERS changes it), each file in one process: they wait long for servers and workers to start.
# In the order of their folders: the long ones come first, so that no process works alone for long at the end.
# Published networks at full size are for `make test-full`.
status=0
pytest -m "not full_size" --numprocesses "${TEST_WORKERS:-2}" --dist loadfile --no-loadscope-reorder "$@" || status=$?
wait "$check" || status=1
cat "$checks"
exit "$status"
