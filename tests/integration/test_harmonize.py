"""`charmnet harmonize` as a user calls it: pictures in a real store, on a real Ray."""

import json
from pathlib import Path

import boto3
import numpy as np
import pytest

from charmnet.codecs import decode_mask, decode_rgb, encode_png
from charmnet.methods import CharmNetMethod
from charmnet.weights import save_checkpoint
from pipelines.commands.cli import main
from pipelines.runtime.storage import Location
from tests.factories import make_iharmony4
from tests.fixtures.object_store import ObjectStoreForTests


def _modified(location: Location) -> object:
    """Return when an object was written."""
    return boto3.client("s3").head_object(Bucket="charmnet", Key=location.uri.partition("charmnet/")[2])[
        "LastModified"
    ]


def checkpoint(folder: Path, seed: int = 0) -> str:
    save_checkpoint(folder, CharmNetMethod(width=8, seed=seed), {"step": 1})
    return str(folder)


@pytest.mark.usefixtures("ray_cluster")
def test_a_bucket_goes_on_where_it_stopped_and_tells_what_failed(
    s3: ObjectStoreForTests, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_iharmony4(tmp_path / "in", photographs=3)
    hcoco = tmp_path / "in" / "HCOCO"
    composites = hcoco / "composite_images"
    (hcoco / "masks/c01_1.png").write_bytes(encode_png(np.full((64, 96), 200, np.uint8)))
    (hcoco / "masks/c03_1.png").unlink()
    whole = (composites / "c02_1_2.jpg").read_bytes()
    (composites / "c02_1_2.jpg").write_bytes(whole[:-300])
    source, dest = Location.of(f"{s3.prefix()}/in"), Location.of(f"{s3.prefix()}/out")
    source.upload_folder(tmp_path / "in")
    command = ["harmonize", "--model", checkpoint(tmp_path / "model"), "--source", str(source)]
    command += ["--dest", str(dest)]

    assert main(command) == 1
    message = capsys.readouterr().err
    assert "3 harmonized, 0 were there, 3 failed" in message
    assert "neither 0 nor 255" in message
    failed = [json.loads(line) for line in (dest / "failed.jsonl").read_bytes().splitlines()]
    reasons = {entry["path"].rpartition("/")[2]: entry["reason"] for entry in failed}
    assert set(reasons) == {"c02_1_2.jpg", "c03_1_1.jpg", "c03_1_2.jpg"}
    assert "cut short" in reasons["c02_1_2.jpg"]
    assert "no mask" in reasons["c03_1_1.jpg"]
    made = dest / "HCOCO/composite_images/c02_1_1.jpg"
    mask = decode_mask((hcoco / "masks/c02_1.png").read_bytes())
    before, after = (
        decode_rgb(data).astype(int)
        for data in ((composites / "c02_1_1.jpg").read_bytes(), made.read_bytes())
    )
    difference = np.abs(after - before)
    assert difference[mask == 0].mean() < 3 < difference[mask == 1].mean()

    # What was made stays, what has been mended is made, what nobody mended fails again.
    kept = _modified(made)
    (source / "HCOCO/composite_images/c02_1_2.jpg").write_bytes(whole)
    assert main(command) == 1
    assert "1 harmonized, 3 were there, 2 failed" in capsys.readouterr().err
    assert _modified(made) == kept

    other = ["harmonize", "--model", checkpoint(tmp_path / "other", seed=1), *command[3:]]
    assert main(other) == 1
    assert "other weights" in capsys.readouterr().err
    assert main([*command[:-1], f"{source}/out"]) == 2
    assert main([*command[:-1], str(dest.parent)]) == 1  # holds something else
