#!/usr/bin/env bash
# Renews requirements.lock: the newest versions that pyproject.toml admits, found in a fresh environment.
# Run the tests before committing what it writes.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"${PYTHON:-python3}" -m venv "$fresh"
"$fresh/bin/python" -m pip install --quiet --disable-pip-version-check ".[dev]"
{
  echo "# Every package at the version that the tests ran with; made by infra/lock.sh."
  # A build for CPUs ("+cpu") is named as the release it belongs to, which every index has.
  "$fresh/bin/python" -m pip freeze --exclude charmnet | sed 's/+[a-z0-9.]*$//'
} >requirements.lock
