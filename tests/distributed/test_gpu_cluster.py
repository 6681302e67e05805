"""Pictures on a cluster that has a GPU by its own account; the work is done on whatever torch has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from charmnet.codecs import encode_jpeg, encode_png
from pipelines.benchmarks.synthetic_data import write_pairs
from tests.factories import foreground, photograph

SCRIPT = """
import sys
from charmnet.blending import Adjustment
from charmnet.methods import CharmNetMethod
from pipelines.runtime.cluster import prepare_environment, start_here
prepare_environment()
start_here(num_cpus=2, num_gpus=1)
from pipelines.harmonization.distributed import harmonize_pictures
from pipelines.harmonization.files import Folders
from pipelines.evaluation.datasets import score_dataset
from pipelines.shards.reading import Dataset
from pipelines.shards.selection import EVERYTHING
from pipelines.runtime.storage import Location
source, dest, data = sys.argv[1:]
method = CharmNetMethod(width=8, seed=0)
pairs = [(f"{n}.jpg", f"{n}.mask.png") for n in range(3)]
folders = Folders(Location.of(source), Location.of(source), Location.of(dest))
outcomes = harmonize_pictures(method, folders, pairs, Adjustment())
assert [outcome.problem for outcome in outcomes] == [""] * 3
print(len(list(score_dataset(method, Dataset.open(data), EVERYTHING))), "scored")
"""


def test_pictures_are_harmonized_and_scored_where_there_is_a_gpu(tmp_path: Path) -> None:
    source, dest = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        (source / f"{number}.jpg").write_bytes(encode_jpeg(photograph(rng)))
        (source / f"{number}.mask.png").write_bytes(encode_png(foreground(rng) * np.uint8(255)))
    given = str(source), str(dest), write_pairs(tmp_path / "data", 5)
    done = subprocess.run([sys.executable, "-c", SCRIPT, *given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "5 scored\n"
    assert "WARNING" not in done.stderr
    assert len(list(dest.glob("*.jpg"))) == 3
