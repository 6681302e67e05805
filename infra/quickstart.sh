#!/usr/bin/env bash
# Sets up the environment and runs `charmnet quickstart` in it, with any of its options.
set -euo pipefail
source "$(dirname -- "$0")/environment.sh"
exec charmnet quickstart "$@"
