#!/usr/bin/env bash
# What only a GPU can tell, in order of value:
#   tests/gpu/pass.sh OUT [REAL RENDERED NOVEL]
# Each part has a limit of time that suits one like an H200: together nine minutes, twelve and a half with the study.
# REAL and RENDERED are data sets that `charmnet study` takes, NOVEL the category that they share; without them the
# study is left out and the others work on pictures of noise. Each part writes OUT/PART.log and, when it ends, its line
# of OUT/summary.txt. Figures are of one process on one machine: label them so.
#   PARTS="tests released"   these parts alone
#   DEVICE=cpu STEPS_SCALE=1000 TIME_SCALE=5   a rehearsal without a GPU: a thousandth of the steps, five times as long
set -uo pipefail
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."
out=${1:?usage: tests/gpu/pass.sh OUT [REAL RENDERED NOVEL]}
mkdir -p "$out"
out=$(cd "$out" && pwd)
real=${2:-} rendered=${3:-} novel=${4:-}
python=${PYTHON:-python3}
device=${DEVICE:-cuda}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CHARMNET_STATE=$work/state

steps() { # steps of a part on the GPU, fewer in a rehearsal
  echo $(($1 / ${STEPS_SCALE:-1} > 2 ? $1 / ${STEPS_SCALE:-1} : 2))
}

part() { # NAME SECONDS COMMAND...: run a part within a time, say how it ended and its last figure
  local name=$1 seconds=$2
  shift 2
  [[ " ${PARTS:-$name} " == *" $name "* ]] || return 0
  local started=$SECONDS status=0
  timeout --kill-after=30 $((seconds * ${TIME_SCALE:-1})) "$@" >"$out/$name.log" 2>&1 || status=$?
  local figure
  figure=$(grep -E 'pairs/s|passed|failed|total:|ms|finished' "$out/$name.log" | tail -n 1 | cut -c1-160)
  printf '%-10s status %3d %4d s  %s\n' "$name" "$status" "$((SECONDS - started))" "$figure" | tee -a "$out/summary.txt"
}

if [[ -z $real ]]; then
  "$python" -c '
import sys
from pathlib import Path
from pipelines.benchmarks.synthetic_data import write_pairs, write_scenes
write_pairs(Path(sys.argv[1], "real"), 4096, side=256)
write_scenes(Path(sys.argv[1], "rendered"), 64, side=256)' "$work"
fi
train_real=${real:-$work/real} train_rendered=${rendered:-$work/rendered}
train=(--real "$train_real" --rendered "$train_rendered" --storage "$work/runs" --tracking none validate_every=0
  checkpoint_every=0 sample_rows=0)

precision=bf16
[[ $device == cuda ]] || precision=float32
: >"$out/summary.txt"
"$python" -c '
import torch
print(torch.__version__, torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU")' |
  tee -a "$out/summary.txt"

part tests 150 "$python" -m pytest -q -n 0 -m gpu tests/gpu
part released 90 "$python" -m pipelines train --recipe released --name released "${train[@]}" \
  "precision=$precision" "steps=$(steps 4000)" log_every=100
part update 90 "$python" -m pipelines bench update --device "$device" --batch 8 --rounds "$(steps 5)" \
  --steps "$(steps 30)" --threads 4 --json "$out/update.json"
if [[ -n $real ]]; then
  part study 200 "$python" -m pipelines study poster --real "$real" --rendered "$rendered" --novel "$novel" \
    --only real-only,fusion,charmnet --seeds 1 --steps "$(steps 4000)" --parallel 1 --tracking none --dest "$work/study"
  cp "$work/study/report/tables.md" "$out/study.md" 2>/dev/null || true
fi
part affine 60 "$python" -m pipelines train --recipe small --name affine "${train[@]}" \
  "precision=$precision" "steps=$(steps 2000)" log_every=100
part losses 60 "$python" -m pipelines.benchmarks.step_losses --device "$device" --steps "$(steps 100)" \
  --json "$out/losses.json"
variant=()
[[ $device == cuda ]] && variant=(--variant cuda_ad_rgb)
part render 90 "$python" -m pipelines render "${variant[@]}" --category car --scenes 1 --size 256x144 \
  --dest "$work/car" --contact-sheet "$out/render.png"
! grep -vE '^[0-9]|status   0' "$out/summary.txt" >/dev/null
