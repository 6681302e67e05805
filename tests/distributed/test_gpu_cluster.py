"""Pictures on a cluster that has a GPU by its own account; the work is done on whatever there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from charmnet.images import encode_jpeg, encode_png
from tests.factories import foreground, photograph

HARMONIZE = """
import sys
from charmnet.methods import CharmNetMethod
from pipelines.cluster import prepare_environment, start_here
prepare_environment()
start_here(num_cpus=2, num_gpus=1)
from pipelines.harmonize_tasks import harmonize_pictures
from pipelines.storage import Location
source, dest = map(Location.of, sys.argv[1:])
pairs = [(f"{n}.jpg", f"{n}.mask.png") for n in range(3)]
problems = [o.problem for o in harmonize_pictures(CharmNetMethod(width=8, seed=0), source, dest, pairs)]
assert problems == [""] * 3, problems
"""


def test_pictures_are_harmonized_where_there_is_a_gpu(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(encode_jpeg(photograph(rng)))
        mask = encode_png(foreground(rng) * np.uint8(255))
        (tmp_path / "in" / f"{number}.mask.png").write_bytes(mask)
    command = [sys.executable, "-c", HARMONIZE, str(tmp_path / "in"), str(tmp_path / "out")]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 3
