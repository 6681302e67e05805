"""The tree of errors that charmnet/errors.py draws."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import charmnet.errors

ROOT = Path(__file__).parents[2]
INDENT = 4  # characters of the drawing that each level adds


def _drawn() -> dict[str, tuple[str, str]]:
    """Return (base, module) by the name of each error that is drawn."""
    drawn: dict[str, tuple[str, str]] = {}
    ancestors = ["Exception"]
    for line in str(charmnet.errors.__doc__).splitlines():
        match = re.match(r"^([│├└─ ]*)(\w+Error)\s+(?:(pipelines\.[\w.]+):)?", line)
        if match:
            level = 1 + len(match[1]) // INDENT
            del ancestors[level:]
            drawn[match[2]] = ancestors[-1], match[3] or "charmnet.errors"
            ancestors.append(match[2])
    return drawn


def test_every_public_error_is_drawn_with_its_base_and_module() -> None:
    defined = {}
    for path in [*(ROOT / "charmnet").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")]:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and re.fullmatch(r"[A-Z]\w*(Error|Exception)", node.name):
                defined[node.name] = ast.unparse(node.bases[0]), module
    assert _drawn() == defined


def test_errors_of_libraries_are_told_without_the_names_of_their_classes() -> None:
    cases = {
        TimeoutError(): "timeout error",
        KeyError("steps"): "'steps' is missing",
        OSError("disk\n full"): "disk full",
        charmnet.errors.DataError("a.jpg: broken"): "a.jpg: broken",
    }
    assert {error: charmnet.errors.in_words(error) for error in cases} == cases
