"""Rules of the architecture that are no contract of import-linter, names, and limits of length."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "charmnet").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])
NAMED = [
    path for folder in ("charmnet", "infra", "pipelines", "tests") for path in (ROOT / folder).rglob("*.py")
]
# Other projects call things by these words; this one has its own (docs/architecture.md).
OTHER_WORDS = {"comp", "fake", "pred", "target", "unharm", "harmed"}
# Words that nobody could guess, and what is said in their place.
RETIRED_WORDS = {
    "briefing": "lease",
    "crasher": "known crash",
    "crashers": "known_crashes",
    "deadly": "crashing",
    "knock": "check_reachable",
    "leftover": "unsent",
    "leftovers": "unsent_spools",
    "parcel": "packed block",
    "parcels": "packed blocks",
    "patiently": "retry_storage",
    "poison": "crash marker",
    "poisoned": "marked to crash",
}
RETIRED_NAMES = {
    "Control": "RunCoordinator",
    "Destination": "DatasetBuild",
    "Evidence": "Artifacts",
    "Fitted": "FitResult",
    "GuardedServer": "AuthenticatedServer",
    "Judge": "InputRunner",
    "Lab": "Environment",
    "Ledger": "QuarantineRegistry",
    "MOST_STAND_INS": "MAX_SUBSTITUTES",
    "Pacer": "IdleThrottle",
    "Played": "ScenarioRun",
    "ReplayedUpdate": "CudaGraphUpdate",
    "StartClock": "StartupTimer",
    "answers_ok": "is_healthy",
    "careful": "isolate_decoding",
    "generator_alone": "inference_only",
    "given_device": "assigned_device",
    "in_stable_disorder": "hash_order",
    "judge": "check",
    "meanwhile": "while_starting",
    "method_of": "build_method",
    "news": "status",
    "over_cluster": "map_on_cluster",
    "patience": "timeout",
    "patience_seconds": "timeout_seconds",
    "place_name": "reference_name",
    "settle_earlier_runs": "reconcile_previous_runs",
    "ship_leftovers": "send_unsent",
    "stand_in": "substitute",
    "stand_ins": "substitutes",
    "start_clock": "startup_timer",
    "stood_for": "replaces",
    "to_harmonize": "inference_only",
    "told": "messages",
    "trainer_of": "build_trainer",
    "update_of": "make_update",
    "vitals": "tracker_health",
    "when_it_answers": "wait_until",
}
PIPELINE_LIBRARIES = ("ray", "mlflow", "fsspec", "s3fs", "pyarrow", "pipelines")


@cache
def _imports(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Return (module, names) of every import of a file, also of those in functions."""
    imports: list[tuple[str, tuple[str, ...]]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imports += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imports.append((node.module, tuple(alias.name for alias in node.names)))
    return imports


def _identifiers(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of every name, attribute, argument and definition of a file, and the file's own."""
    yield 1, path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        for attribute in ("arg", "attr", "id", "name"):
            if isinstance(name := getattr(node, attribute, None), str):
                yield getattr(node, "lineno", 1), name


def _words(name: str) -> set[str]:
    """Return the words of a name in snake case or camel case, in small letters."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def test_charmnet_imports_without_the_libraries_of_the_pipelines() -> None:
    """Every module of charmnet/, in a process where those libraries cannot be imported."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path.is_relative_to(ROOT / "charmnet")
    ]
    code = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({PIPELINE_LIBRARIES!r}))\n"  # None there makes an import fail
        f"for name in {modules!r}: importlib.import_module(name)\n"
        "from charmnet import CharmNet"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_only_tracking_imports_mlflow() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if not path.is_relative_to(ROOT / "pipelines" / "tracking")
        for module, _ in _imports(path)
        if module.split(".")[0] == "mlflow"
    ]
    assert not wrong


def test_no_private_name_is_imported() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}: {module} {names}"
        for path in SOURCES
        for module, names in _imports(path)
        if module.split(".")[0] in ("charmnet", "pipelines")
        and any(part.startswith("_") and part != "__future__" for part in (*module.split("."), *names))
    ]
    assert not wrong


def test_things_go_by_their_names() -> None:
    """Names that were retired do not come back."""
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {name}: say {other}"
        for path in NAMED
        for line, name in _identifiers(path)
        for other in (
            *(RETIRED_WORDS[word] for word in RETIRED_WORDS.keys() & _words(name)),
            *([RETIRED_NAMES[name]] if name in RETIRED_NAMES else []),
        )
    ]
    assert not wrong


def test_the_core_library_has_the_projects_own_words() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
        for path in SOURCES
        if path.is_relative_to(ROOT / "charmnet")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name | ast.arg)
        and OTHER_WORDS & set((name := getattr(node, "id", None) or getattr(node, "arg", "")).split("_"))
    ]
    assert not wrong


def test_readme_has_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    lines = [
        line.removeprefix("$ ").strip()
        for block in re.findall(r"^```[^\n]*\n(.*?)^```", readme, re.M | re.S)
        for line in block.splitlines()
    ]
    for word, command in (("quickstart", "./infra/quickstart.sh"), ("test", "./infra/test.sh")):
        first = next(line for line in lines if word in line)
        assert first == command
        assert os.access(ROOT / command, os.X_OK)


def _headings(page: Path) -> set[str]:
    """Return the headings of a page as links name them: small letters, digits and hyphens."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_pictures_pages_and_headings_that_the_docs_name_exist() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    missing = []
    for page in pages:
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
            name, _, heading = target.partition("#")
            path = page.parent / name if name else page
            if "://" not in target and not (path.exists() and (not heading or heading in _headings(path))):
                missing.append(f"{page.relative_to(ROOT)}: {target}")
    assert not missing


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_loose_ends(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)
    assert "/work/" not in text
    assert len(text.splitlines()) <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long to read at a glance"
