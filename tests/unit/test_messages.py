"""What commands say when they refuse: a table of commands and messages, and the documentation's tables."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from charmnet.errors import StorageError
from pipelines.commands.cli import main
from pipelines.runtime.storage import Location
from pipelines.runtime.store_errors import MissingError, RefusedError, with_remedy
from tests.factories import make_iharmony4

ROOT = Path(__file__).parents[2]

OWN = "compose-real --photos photos --masks masks --dest new --per-mask"
LISTED = "shard iharmony4 --source released --dest new --list"
MODEL = "--model none"
TRAIN = "train --method idih --tracking none"

REFUSED = (
    # (command, exit status, what the message says)
    (f"{LISTED} IHD_train.txt --max-size 0", 2, "--max-size is 0, expected at least 1"),
    (f"{LISTED} IHD_train.txt --max-rejected 2", 2, "--max-rejected is 2.0, expected a share in 0..1"),
    (f"{LISTED} IHD_train.txt --shard-samples 0", 2, "--shard-samples is 0, expected at least 1"),
    (f"{LISTED} none.txt", 1, "none.txt: neither beneath file://"),
    (f"{LISTED} empty.txt", 1, "empty.txt: the list is empty; expected one path a line"),
    (f"{LISTED} wrong.txt", 1, "1 of 1 rejected (100.00%), --max-rejected allows 1.00%"),
    ("shard iharmony4 --source none --dest new --list empty.txt", 1, "neither beneath file://"),
    ("shard webdataset --source photos --dest new", 1, "no .tar files beneath; expected image shards"),
    ("shard webdataset --source photos", 2, "--dest is missing (or --in-place"),
    ("shard webdataset --source photos --dest new --in-place", 2, "neither --dest nor --max-size"),
    ("shard iharmony4 --source s3:// --dest new --list a", 2, "names no bucket; expected s3://BUCKET/PATH"),
    ("shard iharmony4 --source s3://k:s@b/x --dest new --list a", 2, "a URI with credentials or options"),
    ("shard iharmony4 --source s3://b/../x --dest new --list a", 2, "expected a URI without .."),
    ("shard iharmony4 --source nothing://b/x --dest new --list a", 1, "another scheme that fsspec knows"),
    (f"{OWN} 0", 2, "--per-mask is 0, expected at least 1"),
    (f"{OWN} 1", 1, "no mask there; expected NAME.png or NAME_1.png, ... for NAME.jpg"),
    (f"{OWN} 1 --masks photos", 2, "--photos and --masks are both"),
    (f"{OWN} 1 --masks auto", 1, "no photograph there; expected JPEG"),
    (f"{OWN} 1 --test-fraction 0.9", 2, "leave nothing to train on"),
    ("render --dest new", 2, "--scenes is missing: how many 3D scenes"),
    (f"harmonize {MODEL} --composite a.jpg --out b.jpg", 2, "expected --composite, --mask and --out"),
    (f"harmonize {MODEL} --source photos --dest photos/out", 2, "results would be taken for composites"),
    (f"harmonize {MODEL} --source photos --dest new", 1, "no picture there that could be harmonized"),
    (f"harmonize {MODEL} --composite a.jpg --mask m.png --out b.gif", 2, "expected a name that ends in"),
    (f"evaluate {MODEL} --data none --select splitt", 2, "splitt"),
    (f"evaluate {MODEL} --data none --json released --tracking none", 2, "is a folder, expected a file's"),
    (f"evaluate {MODEL} --data none --tracking none", 1, "expected a data set made by `charmnet shard`"),
    (f"{TRAIN} --storage new", 2, "--real missing: the method needs a data set of each domain"),
    (f"{TRAIN} --real none", 2, "--storage is missing: where the run keeps its checkpoints"),
    (f"{TRAIN} --storage new --real none", 1, "expected a data set made by `charmnet shard`"),
    (f"{TRAIN} --storage new --real none --register a", 2, "--register needs an MLflow server"),
    (f"{TRAIN} --storage new --real none stepz=4", 2, "stepz"),
    ("train --storage new --real none --tracking ftp://x", 2, "expected http(s)://HOST[:PORT]"),
    ("train --recipe none", 2, "--recipe none: expected one of"),
    ("inspect none", 1, "none: no manifest.json there; expected a data set made by"),
    ("inspect photos", 1, "photos: no manifest.json there; expected a data set"),
    ("audit none", 1, "no checkpoint there; expected the folder of a run"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a current folder with a released data set, wrong lists and folders without pictures."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("CHARMNET_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    make_iharmony4(tmp_path / "released", photographs=2)
    (tmp_path / "released" / "empty.txt").write_text("\n")
    (tmp_path / "released" / "wrong.txt").write_text("../HCOCO/composite_images/c01_1_1.jpg\n")
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("no picture")
    return tmp_path


def test_each_refusal_says_what_and_what_was_expected_in_plain_words(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, status, said in REFUSED:
        assert main(command.split()) == status, command
        message = capsys.readouterr().err
        assert message.count("charmnet: error: ") == 1, message
        assert said in message, command
        assert not re.search(r"Traceback|\b\w+(Error|Exception|NotFound)\b|\b1 earlier runs", message), (
            message
        )
        assert not (folder / "new" / "manifest.json").exists()


def test_who_is_refused_for_good_is_not_told_that_another_run_mends_it() -> None:
    assert with_remedy(MissingError("a: gone")) == "a: gone; run the same command again to continue"
    refused = with_remedy(RefusedError("a: access refused; expected keys"))
    assert refused.endswith("expected keys; then run the same command again to continue")


def _said() -> str:
    """Return the constant parts of every text in the sources; what is filled in is left out."""
    paths = [*(ROOT / "pipelines").rglob("*.py"), *(ROOT / "charmnet").rglob("*.py")]
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text())))
    return "\n".join(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str))


@pytest.mark.parametrize(
    ("page", "heading"), [("stores.md", "| message | remedy |"), ("operations.md", "| what you see |")]
)
def test_messages_of_the_documentation_are_those_of_the_commands(page: str, heading: str) -> None:
    table = (ROOT / "docs" / page).read_text().partition(heading)[2].partition("\n\n")[0]
    messages = [m for m in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE) if "max_restarts" not in m]
    assert len(messages) >= 5
    said = _said()
    for message in messages:
        longest = max(re.split(r"\.\.\.|\(.*", message), key=len).strip(" :")
        parts = (longest, longest.partition(" ")[2], longest.partition(":")[0])  # a name may be filled in
        assert any(" " in part and part in said for part in parts), message


def test_a_folder_that_may_not_be_used_is_no_question_of_keys(folder: Path) -> None:
    (folder / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="is a file; expected a folder there") as caught:
        Location.of(folder / "file" / "x").write_bytes(b"")
    assert "AWS" not in str(caught.value)
