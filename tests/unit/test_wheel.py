"""The wheel: what is in it, what it pulls, and what works where nothing else is installed."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PathDistribution, distribution, packages_distributions
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from charmnet.codecs import decode_rgb, encode_png
from pipelines.runtime.extras import INCLUDED, MODULES

ROOT = Path(__file__).parents[2]
PACKAGES = ("charmnet", "pipelines")
WORK = """
import contextlib, io, json, sys
from importlib.util import find_spec
from pathlib import Path
from charmnet.encoded_pictures import EncodedPicture, harmonize_encoded
from charmnet.methods.idih import IDIHMethod
from charmnet.weights import save_model
from pipelines.commands.cli import main
from pipelines.harmonization.harmonizer import FEW_PICTURES

assert not any(map(find_spec, ("ray", "mlflow", "pyarrow", "s3fs", "botocore", "psutil")))
method = IDIHMethod(width=4, seed=0, head="affine", size=96)
method.modules["generator"].real_dec.whole_map.bias.data[3::4] = 0.3
save_model(Path("model"), method, {})
picture, mask = (EncodedPicture(Path(name).read_bytes(), name) for name in ("in.png", "mask.png"))
Path("api.png").write_bytes(harmonize_encoded(method, picture, mask, "api.png").data)
assert main(["export", "--model", "model", "--to", "safetensors", "--dest", "exported"]) == 0
Path("many").mkdir()
for number in range(FEW_PICTURES + 1):
    Path(f"many/{number}.png").write_bytes(picture.data)
assert main(["harmonize", *json.loads(sys.argv[2]), "--dest", "done"]) == 0
assert len(list(Path("done").glob("*.png"))) == FEW_PICTURES + 1
for arguments in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        status = main(arguments)
    print(json.dumps([status, said.getvalue()]))
"""
PICTURE = ["--composite", "in.png", "--mask", "mask.png", "--out", "out.png"]
MANY = ["--model", "model", "--source", "many", "--mask", "mask.png"]
REFUSED = [
    (["train", "--help"], "charmnet train", "train"),
    (["render"], "charmnet render", "render"),
    (["quickstart"], "charmnet quickstart", "quickstart"),
    (["demo", "--model", "model"], "the page", "demo"),
    (["serve", "--model", "model"], "the server", "serve"),
    (["export", "--model", "model", "--to", "onnx", "--dest", "onnx"], "--to onnx", "export"),
    (["harmonize", "--model", "s3://bucket/run", *PICTURE], "s3://bucket/run_net_G.pth: s3://", "train"),
    (["harmonize", "--model", "models:/m/1", *PICTURE], "charmnet harmonize", "train"),
    (["harmonize", *MANY, "--dest", "other", "--workers", "2"], "charmnet harmonize", "train"),
]
"""What needs more than the wheel: arguments, what the message names, and the extra that it names."""


def _run(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command outside the checkout, which it must not import."""
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONWARNINGS")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it in a copy, for building leaves files beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", "dist", "."], folder)
    (built,) = (folder / "dist").iterdir()
    return built


def _requirements(wheel: Path) -> list[str]:
    (information,) = (path for path in zipfile.Path(wheel).iterdir() if path.name.endswith(".dist-info"))
    return PathDistribution(information).requires or []


@cache
def _requires(name: str) -> list[str]:
    return distribution(name).requires or []


def _closure(requirements: Iterable[str], extras: Iterable[str] = ("",)) -> set[str]:
    """Return the installed distributions that this project's requirements and some of its extras lead to."""
    own = list(requirements)
    found: set[str] = set()
    pending = [(text, tuple(extras)) for text in own]
    done = set()
    while pending:
        text, chosen = pending.pop()
        requirement = Requirement(text)
        marker = requirement.marker
        if (text, chosen) in done or (marker and not any(marker.evaluate({"extra": e}) for e in chosen)):
            continue
        done.add((text, chosen))
        name = canonicalize_name(requirement.name)
        needed = own if name == "charmnet" else _requires(name)
        found |= {name} - {"charmnet"}
        pending += [(text, tuple(requirement.extras) or ("",)) for text in needed]
    return found


def _declared() -> list[str]:
    """Return the requirements as pyproject.toml has them, in the form of a wheel's metadata."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"].items()
    return [
        *project["dependencies"],
        *(f"{text}; extra == '{name}'" for name, texts in optional for text in texts),
    ]


def _imported(package: str) -> set[str]:
    """Return the packages of others that a package imports, also in functions."""
    names: set[str] = set()
    for path in (ROOT / package).rglob("*.py"):
        if "peers" in path.parts:  # what a benchmark compares with is installed by hand
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - set(PACKAGES)


def test_every_import_is_a_dependency_or_of_an_extra() -> None:
    declared, providers = _declared(), packages_distributions()
    brought = {extra: _closure(declared, [extra]) for extra in ("", *MODULES)}
    optional = {(module, extra) for extra, modules in MODULES.items() for module in modules}
    always = (_imported("charmnet") | _imported("pipelines")) - {module for module, _ in optional}
    for module, extra in optional | {(module, "") for module in always}:
        distributions = {canonicalize_name(name) for name in providers[module]}
        assert distributions & brought[extra], f"{module}: nothing of the extra {extra!r} brings it"
        assert not extra or not distributions & brought[""], f"{module} is there without the extra {extra}"


def test_the_core_library_needs_no_extra_but_for_formats() -> None:
    imported = _imported("charmnet")
    needed = {extra for extra, modules in MODULES.items() if imported & set(modules)}
    assert needed == {"heic"}


def test_extras_contain_what_the_command_line_says() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    def contained(extra: str) -> set[str]:
        own = [Requirement(text) for text in extras[extra]]
        inner = {name for requirement in own if requirement.name == "charmnet" for name in requirement.extras}
        return inner.union(*map(contained, inner))

    assert {extra: set(INCLUDED.get(extra, ())) for extra in MODULES} == {
        extra: contained(extra) for extra in MODULES
    }


@pytest.mark.slow
def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    sources = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == sources
    assert {
        "charmnet/py.typed",
        "pipelines/config/recipes/small.toml",
        "pipelines/study/studies/poster.toml",
    } < packed


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one with the wheel and, by links to what is installed here, what it requires without extras."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for name in sorted(_closure(_requirements(wheel))):
        installed = distribution(name)
        for first in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            if not (packages / first).exists():  # several distributions may share a folder
                (packages / first).symlink_to(str(installed.locate_file(first)))
    python = str(folder / "bin/python")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    _run([*pip, "install", "--quiet", "--no-index", "--no-deps", "--no-compile", str(wheel)], folder)
    assert "No broken requirements" in _run([*pip, "check"], folder).stdout
    return folder


@pytest.mark.slow
def test_the_wheel_harmonizes_and_exports_without_extras(environment: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((90, 120), np.uint8)
    mask[30:70, 20:80] = 255
    picture = rng.integers(0, 256, (90, 120, 3), np.uint8)
    (tmp_path / "in.png").write_bytes(encode_png(picture))
    (tmp_path / "mask.png").write_bytes(encode_png(mask))
    asked = json.dumps([arguments for arguments, _, _ in REFUSED])
    done = _run([environment / "bin/python", "-c", WORK, asked, json.dumps(MANY)], tmp_path)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    for (_, subject, extra), (status, said) in zip(REFUSED, answers, strict=True):
        assert f"charmnet: error: {subject} needs " in said
        assert said.endswith(f": pip install 'charmnet[{extra}]'\n")
        assert status in (1, 2)
    _run([environment / "bin/charmnet", "harmonize", *PICTURE, "--model", "exported"], tmp_path)
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "api.png").read_bytes()
    changed = (decode_rgb((tmp_path / "out.png").read_bytes()) != picture).any(-1)
    assert (changed == (mask > 0)).mean() > 0.95
