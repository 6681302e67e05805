#!/usr/bin/env bash
# Starts a Ray head on this machine that takes jobs: `ray job submit --working-dir . -- charmnet train ...`.
#   ./infra/head.sh [options of `ray start`]      stop it with: .venv/bin/ray stop
# Jobs inherit this shell's environment; where it names no store, that of the quickstart's servers.
set -euo pipefail
source "$(dirname -- "$0")/environment.sh"

state=${CHARMNET_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/charmnet}
if [ -z "${AWS_ACCESS_KEY_ID:-}${AWS_PROFILE:-}" ] && [ -f "$state/environment.sh" ]; then
  source "$state/environment.sh"
fi

# Ray's control port is open on every interface: only a process that has the token may submit jobs or join.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=${RAY_AUTH_TOKEN_PATH:-$state/ray-token}
if [ ! -f "$RAY_AUTH_TOKEN_PATH" ]; then
  mkdir -p -m 700 "$(dirname "$RAY_AUTH_TOKEN_PATH")"
  (umask 077 && python -c 'import secrets; print(secrets.token_hex(32), end="")' >"$RAY_AUTH_TOKEN_PATH")
fi

# Huge pages for torch's tensors: otherwise the kernel spends a good part of a step on CPUs clearing small pages.
export THP_MEM_ALLOC_ENABLE=${THP_MEM_ALLOC_ENABLE:-1}
# Seconds from the request to stop a job to its end by force: time to save a checkpoint.
export RAY_JOB_STOP_WAIT_TIME_S=${RAY_JOB_STOP_WAIT_TIME_S:-120}
# The agent takes any free port: another Ray on this machine may have its default one, and jobs would find no agent.
ray start --head --port 6379 --dashboard-host 127.0.0.1 --dashboard-agent-listen-port 0 --disable-usage-stats "$@"
dashboard=$(grep -oP -- '--dashboard-port[= ]\K\d+' <<<"$*" || echo 8265)
cat <<END

In the shell that submits jobs:
  export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$RAY_AUTH_TOKEN_PATH
  ray job submit --address http://127.0.0.1:$dashboard --working-dir . -- charmnet train ...
END
