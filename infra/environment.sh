# Sourced by the scripts of this folder: changes to the checkout's root, makes or updates .venv from requirements.lock.
# PYTHON chooses the interpreter (3.11 or newer). Does nothing where the environment is current.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted=$(cat requirements.lock pyproject.toml | cksum)
if [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
  python=${PYTHON:-python3}
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "$python is older than Python 3.11; set PYTHON to a newer one" >&2
    exit 1
  }
  echo "Installing into .venv; the first time takes some minutes."
  "$python" -m venv .venv
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
  echo "$wanted" >.venv/installed
fi
export PATH="$PWD/.venv/bin:$PATH"
