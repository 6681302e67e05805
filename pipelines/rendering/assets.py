"""A user's own meshes as foregrounds: `DIR/<category>/*.obj|ply|gltf|glb`."""

from __future__ import annotations

import colorsys
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import trimesh

from charmnet.errors import DataError
from pipelines.rendering.description import Material, MeshFile, Part, Role, Thing
from pipelines.rendering.mesh_files import Y_UP_SUFFIXES
from pipelines.rendering.shapes import to_mesh
from pipelines.runtime.user_files import is_litter

SUFFIXES = (".obj", ".ply", ".gltf", ".glb")

# Metres, upright unless said otherwise; a mesh is scaled to a height drawn from its category's range.
HEIGHTS: dict[str, tuple[float, float]] = {
    "human": (1.55, 1.92),
    "bottle": (0.22, 0.34),
    "cake": (0.1, 0.2),
    "motorcycle": (1.0, 1.25),
    "cow": (1.3, 1.55),
    "couch": (0.75, 0.95),
    "apple": (0.065, 0.09),
    "car": (1.35, 1.7),
    "chair": (0.8, 1.05),
    "dog": (0.4, 0.7),
    "knife": (0.015, 0.025),  # lying
}


@dataclass(frozen=True)
class Asset:
    """A mesh file.

    Attributes:
        path: absolute path; every machine that renders must be able to read it.
        heights: lowest and greatest height in metres, which a height is drawn from.
    """

    path: str
    heights: tuple[float, float]


@dataclass(frozen=True)
class Assets:
    """All mesh files of a user.

    Attributes:
        meshes: mesh files by category.
        sha256: digest of the files' names and bytes; None where there are no files.
    """

    meshes: dict[str, tuple[Asset, ...]] = field(default_factory=dict)
    sha256: str | None = None

    def foreground(self, category: str, rng: np.random.Generator) -> Thing | None:
        """Draw one of the category's meshes, its size and its colour; None where there is no mesh."""
        if category not in self.meshes:
            return None
        asset = self.meshes[category][int(rng.integers(len(self.meshes[category])))]
        color = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.05, 0.75), rng.uniform(0.2, 0.7))
        material = Material(color, roughness=float(rng.uniform(0.4, 1.0)))
        shape = MeshFile(asset.path, float(rng.uniform(*asset.heights)))
        return Thing(category, Role.FOREGROUND, (Part(shape, material),))


def asset_categories(folder: str | None) -> list[str]:
    """List the categories that a folder of assets holds: its folders named in lower-case letters."""
    root = Path(folder or "").expanduser()
    folders = sorted(root.iterdir()) if folder and root.is_dir() else []
    return [path.name for path in folders if path.is_dir() and re.fullmatch("[a-z]+", path.name)]


def read_assets(folder: str, categories: Sequence[str]) -> Assets:
    """Collect the meshes of those categories that the folder has, and read each to check it.

    Known categories take their range of heights from `HEIGHTS`; any other keeps the mesh's height in metres.

    Raises:
        DataError: the folder has none of the categories, a category's folder has no mesh, or a mesh cannot
            be read, has no faces or is not closed; the message names it.
    """
    root = Path(folder).expanduser().resolve()
    files = {category: _files(root / category) for category in categories if (root / category).is_dir()}
    if not files:
        expected = ", ".join(f"{category}/" for category in categories)
        raise DataError(f"--assets {root}: no folder of a category there; expected {expected} with meshes")
    digest = hashlib.sha256()
    for category, paths in sorted(files.items()):
        for path in paths:
            digest.update(f"{category}/{path.name}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    meshes = {category: tuple(_asset(category, path) for path in paths) for category, paths in files.items()}
    return Assets(meshes, digest.hexdigest())


def _files(folder: Path) -> list[Path]:
    meshes = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not is_litter(path.name)
    )
    if not meshes:
        raise DataError(f"--assets {folder}: no mesh there; expected files of {', '.join(SUFFIXES)}")
    return meshes


def _asset(category: str, path: Path) -> Asset:
    to_mesh(MeshFile(str(path), 1.0))  # raises DataError where the mesh cannot be used
    if category in HEIGHTS:
        return Asset(str(path), HEIGHTS[category])
    up = 1 if path.suffix.lower() in Y_UP_SUFFIXES else 2
    height = float(trimesh.load_scene(path).extents[up])
    return Asset(str(path), (height, height))
