"""The house's own rules: who may import whom, what a newcomer finds, what is never written."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*(ROOT / "charmnet").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])
# What the field's code bases call things and this one does not (docs/architecture.md, Words).
OTHER_WORDS = {"comp", "fake", "pred", "target", "unharm", "harmed"}
PLANT_ONLY = ("ray", "mlflow", "fsspec", "s3fs", "pyarrow", "pipelines")


def _imports(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """(module, names) of every import of a file, wherever it stands in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append((node.module, tuple(alias.name for alias in node.names)))
    return found


def test_the_science_imports_without_the_plant() -> None:
    """Every module of charmnet/, in a process where the plant's packages cannot be imported."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path.is_relative_to(ROOT / "charmnet")
    ]
    code = (
        "import importlib, sys\n"
        f"sys.modules.update(dict.fromkeys({PLANT_ONLY!r}))\n"  # None there makes an import fail
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


def test_pictures_and_pages_that_the_docs_name_exist() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
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
