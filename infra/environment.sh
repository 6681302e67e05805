# Sourced by the scripts of this folder, or by a shell that is to find the programs: changes to the checkout's root,
# makes or updates .venv from requirements.lock. PYTHON chooses the interpreter (3.11 or newer). Does nothing where the
# environment is current. The shell's options stay as they are: it may be one that a person types into.
_charmnet_environment() {
  local wanted python
  CDPATH='' builtin cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." || return
  # Modules of elsewhere would be taken for those of .venv; a file of BASH_ENV would be read by every shell again.
  unset PYTHONPATH PYTHONHOME BASH_ENV
  wanted=$(cat requirements.lock pyproject.toml | cksum) || return
  if [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
    python=${PYTHON:-python3}
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
      echo "$python is older than Python 3.11; set PYTHON to a newer one" >&2
      return 1
    }
    echo "Installing into .venv; the first time takes some minutes."
    "$python" -m venv .venv &&
      .venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock &&
      .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable . &&
      echo "$wanted" >|.venv/installed || return
  fi
  export PATH="$PWD/.venv/bin:$PATH"
}
_charmnet_environment
