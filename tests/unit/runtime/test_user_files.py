"""Walking a user's folder: links are followed once, litter is passed over, nothing is lost silently."""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.runtime.storage import Location
from pipelines.runtime.user_files import ARCHIVES, is_litter, walk_user_files, warn_of_others

LITTER = (
    "._a.jpg", "b/._a.png", "__MACOSX/b/._a.jpg", "__MACOSX/a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
    "b/.ipynb_checkpoints/a-checkpoint.jpg", ".DS_Store", "b/Thumbs.db", "thumbs.db", "Desktop.ini",
    "#recycle/a.jpg", "$RECYCLE.BIN/a.jpg", ".Trash-1000/files/a.jpg", "b/.~lock.a.jpg#", "~$a.jpg",
    ".nfs00000000012f", ".fuse_hidden0000a1", ".goutputstream-X1Y2Z3", "a.jpg:Zone.Identifier", "Icon\r",
    ".a.jpg.swp", ".syncthing.a.jpg.tmp", "ehthumbs.db", ".picasaoriginals/a.jpg", "b/.snapshot/a.jpg",
)  # fmt: skip
PICTURES = (
    ".Trashy/a.jpg",
    ".hidden.jpg",
    ".hidden/a.jpg",
    "_.jpg",
    "b/a._b.jpg",
    "MACOSX/a.jpg",
    "Thumbs.db.jpg",
    "a#b.jpg",
)


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, *LITTER, *PICTURES)
    assert walk_user_files(Location.of(tmp_path)) == sorted(PICTURES)
    assert [name for name in (*LITTER, *PICTURES) if not is_litter(name)] == list(PICTURES)


def test_files_of_other_formats_are_named(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    folder = Location.of("memory://photos")
    warn_of_others(folder, ["a.jpg", "b.PNG", "notes.txt", "c", "d.jpg.gz"], (".jpg", ".png"))
    assert caplog.text == ""
    warn_of_others(folder, ["a.jpg", "b/c.GIF", "d.nef", "e.jfif", "f.heic"], (".jpg", ".png"))
    assert "left out (4): b/c.GIF, d.nef, e.jfif; expected .jpg, .png" in caplog.text
    warn_of_others(folder, ["a.tar", "b.TAR", "c.tar.gz", "d.jpg"], (".tar",), ARCHIVES)
    assert "left out (1): c.tar.gz; expected .tar" in caplog.text


def test_links_are_followed_and_dangling_ones_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    write(tmp_path, "elsewhere/one.jpg", "elsewhere/deep/two.jpg", "photos/own.jpg")
    photos = tmp_path / "photos"
    (photos / "linked").symlink_to("../elsewhere")
    (photos / "again").symlink_to(tmp_path / "elsewhere")  # a second name of a folder is no loop
    (photos / "file.jpg").symlink_to("../elsewhere/one.jpg")
    (photos / "around").symlink_to("..")
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to("../..")
    (photos / "gone.jpg").symlink_to("nowhere.jpg")
    (photos / "turning").symlink_to("turning")
    found = walk_user_files(Location.of(photos))
    assert found == [
        "again/deep/two.jpg", "again/one.jpg", "file.jpg", "linked/deep/two.jpg", "linked/one.jpg", "own.jpg",
    ]  # fmt: skip
    assert all((photos / name).read_bytes() == b"x" for name in found)
    assert "lead nowhere are left out (2): gone.jpg, turning" in caplog.text
    (tmp_path / "photos link").symlink_to("photos")
    assert walk_user_files(Location(f"file://{tmp_path}/photos link")) == found


NAMES = st.sampled_from(["a", "b", "._a", "c d", "[x]", "*"])


@given(
    st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=6),
    st.lists(st.tuples(NAMES, st.sampled_from([".", "..", "a", "b", "nowhere"])), max_size=3),
)
def test_any_tree_of_links_ends_and_loses_no_file(
    tmp_path_factory: pytest.TempPathFactory, files: list[str], links: list[tuple[str, str]]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for name in files:
        write(root, f"{name}/file.jpg")
    for name, target in links:
        if not (root / name).exists() and not (root / name).is_symlink():
            (root / name).symlink_to(target)
    found = walk_user_files(Location(f"file://{root}"))
    assert len(found) == len(set(found))
    assert {f"{name}/file.jpg" for name in files if not is_litter(name)} <= set(found)
    assert not any(part.startswith("._") for path in found for part in PurePosixPath(path).parts)


def test_a_folder_that_does_not_exist_has_no_files(tmp_path: Path) -> None:
    assert walk_user_files(Location.of(tmp_path / "none")) == []
