"""`charmnet harmonize` of one picture, in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from charmnet import pretrained
from charmnet.codecs import decode_rgb, encode_png
from charmnet.full_size import harmonize_full_size
from pipelines.commands.cli import main
from tests.factories import foreground, photograph
from tests.fixtures.pretrained import make_pretrained


def test_a_model_of_the_package_harmonizes_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    method = make_pretrained(tmp_path / "models", "tiny")
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "models")
    rng = np.random.default_rng(0)
    picture, mask = photograph(rng, (120, 160)), foreground(rng, (120, 160))
    (tmp_path / "in.png").write_bytes(encode_png(picture))
    (tmp_path / "mask.png").write_bytes(encode_png(mask * np.uint8(255)))
    files = {"--composite": "in.png", "--mask": "mask.png", "--out": "out.png"}
    options = [part for flag, name in files.items() for part in (flag, str(tmp_path / name))]

    assert main(["harmonize", "--model", "charmnet://tiny", *options]) == 0
    result = decode_rgb((tmp_path / "out.png").read_bytes())
    assert np.array_equal(result, harmonize_full_size(method, picture, mask))
    assert np.array_equal(result[mask == 0], picture[mask == 0])
    assert not np.array_equal(result, picture)

    assert main(["harmonize", "--model", "charmnet://none", *options]) == 2
    assert "no model of this name comes with the package; expected one of tiny" in capsys.readouterr().err
