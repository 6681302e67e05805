"""What is recorded of photographs out of packages: their names, licences and authors."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "infra/free_photographs.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("free_photographs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("package", "member", "name"),
    [
        ("gcompris-qt-data", "gcompris/src/activities/erase/resource/a_b-1.webp", "eraseab1"),
        ("plasma-workspace-wallpapers", "usr/share/wallpapers/Kite/contents/images/2560x1600.jpg", "kite"),
        ("tuxpaint-data", "usr/share/tuxpaint/starters/reef-back.png", "tuxpreefback"),
    ],
)
def test_names_tell_package_and_file(script: ModuleType, package: str, member: str, name: str) -> None:
    assert script.name_of(package, member) == name


def test_licences_are_the_last_paragraphs_and_never_none(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "copyright").write_text(
        "Format: x\n\nFiles: *\nCopyright: 2020 The project <a@b.c>\nLicense: GPL-3+\n\n"
        "Files: src/fish/one.jpg\nCopyright: 2019 Ann\n 2018 Ben\nLicense: CC-BY-4.0\n text\n"
    )
    stanzas = script.copyright_stanzas(tmp_path / "copyright")
    assert script.licence_of("src/fish/one.webp", stanzas) == ("CC-BY-4.0", "2019 Ann; 2018 Ben")
    assert script.licence_of("src/fish/two.webp", stanzas) == ("GPL-3+", "2020 The project")
    with pytest.raises(ValueError, match=r"src/fish/two\.webp: no paragraph"):
        script.licence_of("src/fish/two.webp", stanzas[1:])
