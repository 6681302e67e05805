#!/usr/bin/env bash
# Refuses a commit message whose subject is longer than 72 characters; git gives its file.
set -euo pipefail
subject=$(head -n 1 "$1")
if ((${#subject} > 72)); then
  echo "the subject has ${#subject} characters, expected at most 72: $subject" >&2
  exit 1
fi
