"""What ingest and training take of memory and disk, and whether it grows with the data or with time.

  python -m pipelines.benchmarks.memory ingest [--rows 1000]      a data set and one ten times larger, equal steps
  python -m pipelines.benchmarks.memory training [--steps 10000]  the debug recipe, and how its processes grow

Memory is what the processes of a run hold for themselves, all together: their resident sets less what they
share (the object store, programs). It is looked at twice a second. Data sets are made for it, of small
pictures, on the local disk.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from charmnet.codecs import encode_jpeg, encode_png
from charmnet.composition import exchange_foreground
from charmnet.vocabulary import NUM_CONDITIONS, Domain
from pipelines.ingest.stream import StreamSpec
from pipelines.runtime.cluster import start_here
from pipelines.runtime.storage import Location
from pipelines.shards.manifest import Manifest, Stratum
from pipelines.shards.reading import Dataset
from pipelines.shards.rows import Row, pair_row, scene_row
from pipelines.shards.schema import RowKind
from pipelines.shards.writer import write_parquet
from tests.factories import foreground, photograph

TIMES_LARGER = 10
BATCH_SIZE = 16
MEGABYTE = 1 << 20
_INTERVAL_SECONDS = 0.5
_SHARD_ROWS = 1000
_DIFFERENT_PICTURES = 64
_WARM_SHARE = 0.25  # of the steps, before growth is measured; nor is it when the run has made its last


@dataclass
class Watch:
    """Memory of a process and all below it, beside the step that it was seen at.

    Attributes:
        step: the last one that the process told.
        seen: (step, {kind of process: bytes of each}) in order.
    """

    process: subprocess.Popen[str]
    step: int = 0
    seen: list[tuple[int, dict[str, list[int]]]] = field(default_factory=list)

    def until_end(self) -> None:
        """
        Raises:
            SystemExit: the process failed; its output was shown.
        """
        reader = threading.Thread(target=self._listen, daemon=True)
        reader.start()
        while True:
            try:
                code = self.process.wait(_INTERVAL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                self.seen.append((self.step, private_bytes(self.process.pid)))
        reader.join()
        if code:
            raise SystemExit(f"the process that was watched ended with {code}")

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if match := re.match(r"step (\d+)", line):
                self.step = int(match[1])
            else:
                print(f"  {line}", end="", flush=True)

    @property
    def totals(self) -> np.ndarray:
        return np.array([sum(map(sum, parts.values())) for _, parts in self.seen])


def private_bytes(pid: int) -> dict[str, list[int]]:
    """What a process and each of its descendants hold for themselves, by kind of process."""
    found: dict[str, list[int]] = defaultdict(list)
    for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        try:
            memory, words = process.memory_info(), process.cmdline()
        except psutil.Error:  # it has just ended
            continue
        found[_kind(words)].append(memory.rss - memory.shared)
    return dict(found)


def _kind(words: list[str]) -> str:
    """Actors by their names; processes that run data tasks or wait for one, and Ray's servers, as one."""
    name = words[0] if words else ""
    if name.startswith(("ray::IDLE", "ray::MapBatches")):
        return "data tasks"
    if "gcs_server" in name:
        return "Ray's GCS"
    if name.startswith("ray::"):
        return re.split(r"[\s(:.]", name.removeprefix("ray::"))[0]
    return "driver" if {"pipelines", "--consume"} & set(words) else "Ray's servers"


def started(*arguments: str) -> Watch:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    watch = Watch(process)
    watch.until_end()
    return watch


# -- data


def make_pairs(folder: Path, rows: int) -> str:
    """A data set of the real domain; a few pictures under many ids. Its URI."""
    rng = np.random.default_rng(0)
    stratum = Stratum(Domain.REAL, "HCOCO", None, ("train",))
    drawn = [_pair(rng, stratum) for _ in range(_DIFFERENT_PICTURES)]
    made = [drawn[n % len(drawn)] | {"id": f"HCOCO/{n}"} for n in range(rows)]
    return _written(folder, RowKind.PAIR, made)


def make_scenes(folder: Path, scenes: int) -> str:
    """A data set of the rendered domain. Its URI."""
    rng = np.random.default_rng(1)
    stratum = Stratum(Domain.RENDERED, "SHuman", "human", ())
    made = []
    for number in range(scenes):
        image, mask = photograph(rng), encode_png(foreground(rng) * np.uint8(255))
        lights = rng.uniform(0.4, 1.0, (NUM_CONDITIONS, 3))
        pictures = {
            f"images[{n}]": encode_jpeg((image * light).astype(np.uint8)) for n, light in enumerate(lights)
        }
        made.append(scene_row(f"SHuman/{number}", stratum, pictures | {"foreground_mask": mask}))
    return _written(folder, RowKind.SCENE, made)


def _pair(rng: np.random.Generator, stratum: Stratum) -> Row:
    image, mask = photograph(rng), foreground(rng)
    shifted = (image * rng.uniform(0.5, 0.9, 3)).astype(np.uint8)
    pictures = {
        "composite": encode_jpeg(exchange_foreground(shifted, image, mask)),
        "ground_truth": encode_jpeg(image),
        "foreground_mask": encode_png(mask * np.uint8(255)),
    }
    return pair_row("", stratum, pictures)


def _written(folder: Path, kind: RowKind, rows: list[Row]) -> str:
    place, domain = Location.of(folder), Domain(rows[0]["domain"])
    starts = range(0, len(rows), _SHARD_ROWS)
    shards = [(f"part-{start:08d}.parquet", rows[start : start + _SHARD_ROWS]) for start in starts]
    parts = [write_parquet(place, path, kind, domain, held).manifest for path, held in shards]
    Manifest.merged(parts, {}).save(place)
    return str(place)


# -- the two questions


def ingest(rows: int) -> None:
    """Streams as many samples of a small data set as of a large one, which goes round once."""
    steps, peaks = rows * TIMES_LARGER // BATCH_SIZE, []
    with tempfile.TemporaryDirectory() as folder:
        for count in (rows, rows * TIMES_LARGER):
            uri = make_pairs(Path(folder, str(count)), count)
            watch = started("pipelines.benchmarks.memory", "ingest", "--consume", uri, "--steps", str(steps))
            peaks.append(watch.totals.max() / MEGABYTE)
            print(
                f"{count:>9,} rows: peak {peaks[-1]:,.0f} MiB, "
                f"median {np.median(watch.totals) / MEGABYTE:,.0f} MiB, "
                f"{steps:,} steps of {BATCH_SIZE}, {len(watch.seen)} looks",
                flush=True,
            )
    print(f"{TIMES_LARGER} times the data takes {peaks[1] / peaks[0]:.3f} times the memory")


def consume(uri: str, steps: int) -> None:
    """Takes every step of a stream, as a worker would that learns at no cost."""
    start_here(num_cpus=2, object_store_memory=300 * MEGABYTE, logging_level="ERROR")
    import ray.data

    from pipelines.ingest.lanes import TaskResources, stream_dataset
    from pipelines.runtime.blocks import unpack_block

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    spec = StreamSpec(Dataset.open(uri), BATCH_SIZE)
    (iterator,) = stream_dataset(spec, 0, steps, BATCH_SIZE, TaskResources()).streaming_split(1, equal=False)
    tables = iterator.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=2)
    taken = sum(len(unpack_block(table)["step"]) for table in tables) // BATCH_SIZE
    if taken != steps:
        raise SystemExit(f"{taken} steps came, expected {steps}")


def training(steps: int) -> None:
    """Trains the debug recipe with checkpoints and tracking, and fits a line to what its processes hold."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["CHARMNET_STATE"] = str(folder / "state")
        watch = started(
            "pipelines",
            "train",
            *("--real", make_pairs(folder / "real", 256), "--rendered", make_scenes(folder / "rendered", 16)),
            *("--storage", str(folder / "runs"), "--name", "long", "--recipe", "debug"),
            *("--tracking", f"sqlite:///{folder}/mlflow.db"),
            *(f"steps={steps}", "log_every=10", "validate_every=0", "checkpoint_every=500", "sample_rows=0"),
        )
        disk = {name: _disk_bytes(folder / name) for name in ("runs", "state")}
    warm = [(step, parts) for step, parts in watch.seen if _WARM_SHARE * steps < step < steps]
    at = [step for step, _ in warm]
    print(f"peak {watch.totals.max() / MEGABYTE:,.0f} MiB over {steps:,} steps, {len(watch.seen)} looks")
    print(f"  all: {_growth(at, [sum(map(sum, parts.values())) for _, parts in warm])}")
    for kind in sorted({kind for _, parts in warm for kind in parts}):
        held = [parts.get(kind, [0]) for _, parts in warm]
        every, one = (_growth(at, [of(each) for each in held]) for of in (sum, np.mean))
        print(f"  {kind}: {every}, {len(held[0])} to {len(held[-1])} processes; of one {one}")
    for name, size in disk.items():
        print(f"  {name} on disk at the end: {size / MEGABYTE:,.1f} MiB")


def _growth(at: list[int], held: list[float]) -> str:
    """The median and the rise of what was held at each step."""
    slope = 1000 * np.polyfit(at, held, 1)[0] / MEGABYTE
    return f"{np.median(held) / MEGABYTE:,.0f} MiB {slope:+.2f} per 1,000 steps"


def _disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("question", choices=["ingest", "training"])
    parser.add_argument("--rows", type=int, default=1000, help="of the smaller data set (default 1000)")
    parser.add_argument("--steps", type=int, default=10_000, help="of training (default 10,000)")
    parser.add_argument("--consume", metavar="URI", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.consume:
        consume(arguments.consume, arguments.steps)
    elif arguments.question == "ingest":
        ingest(arguments.rows)
    else:
        training(arguments.steps)


if __name__ == "__main__":
    main()
