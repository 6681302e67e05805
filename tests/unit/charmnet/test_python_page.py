"""The examples of docs/python.md, run one after the other as a reader would."""

import re
from pathlib import Path

import pytest

from charmnet.image_limits import image_size

PAGE = Path(__file__).parents[3] / "docs" / "python.md"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S)
    assert len(examples) == 7
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, str(PAGE), "exec"), names)
    assert (tmp_path / "weights" / "latest_net_SC2.pth").exists()
    assert image_size((tmp_path / "harmonized.png").read_bytes()) == (480, 640)
