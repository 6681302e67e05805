#!/usr/bin/env bash
# Renews requirements.lock: the newest versions that pyproject.toml allows, found in a new environment.
# Run the tests before committing what it writes.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "$0")/.."
unset PYTHONPATH PYTHONHOME
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"${PYTHON:-python3}" -m venv "$fresh"
"$fresh/bin/python" -m pip install --quiet --disable-pip-version-check ".[dev]"
{
  echo "# Every package at the version that the tests ran with; made by infra/lock.sh."
  # A build for CPUs ("+cpu") is written as its release, which every index has.
  "$fresh/bin/python" -m pip freeze --exclude charmnet | sed 's/+[a-z0-9.]*$//'
} >requirements.lock
