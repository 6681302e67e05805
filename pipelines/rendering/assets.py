"""Meshes of the user's own as foregrounds: `DIR/<category>/*.obj|ply|gltf|glb`."""

from __future__ import annotations

import colorsys
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from charmnet.errors import DataError
from pipelines.rendering.description import Material, MeshFile, Part, Role, Thing
from pipelines.rendering.shapes import to_mesh

SUFFIXES = (".obj", ".ply", ".gltf", ".glb")

# Metres, as things stand or lie in a picture; a mesh is scaled to a height drawn from its category's range.
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
class Assets:
    """
    Attributes:
        files: absolute paths by category, which every machine that renders must be able to read.
        sha256: of the files' names and bytes; None where there are none.
    """

    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    sha256: str | None = None

    def foreground(self, category: str, rng: np.random.Generator) -> Thing | None:
        """One of the category's meshes at a size and in a colour of its own; None where there is none."""
        files = self.files.get(category)
        if files is None:
            return None
        path = files[int(rng.integers(len(files)))]
        color = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(0.05, 0.75), rng.uniform(0.2, 0.7))
        material = Material(color, roughness=float(rng.uniform(0.4, 1.0)))
        shape = MeshFile(path, float(rng.uniform(*HEIGHTS[category])))
        return Thing(category, Role.FOREGROUND, (Part(shape, material),))


def read_assets(folder: str, categories: Sequence[str]) -> Assets:
    """The meshes of the categories that the folder has; each is read once to see that it is fit.

    Raises:
        DataError: the folder has none of the categories, a category's folder no mesh, or a mesh cannot be
            read, has no faces or is not closed; names it.
    """
    root = Path(folder).expanduser().resolve()
    found = {category: _meshes(root / category) for category in categories if (root / category).is_dir()}
    if not found:
        expected = ", ".join(f"{category}/" for category in categories)
        raise DataError(f"--assets {root}: no folder of a category there; expected {expected} with meshes")
    digest = hashlib.sha256()
    for category, paths in sorted(found.items()):
        for path in paths:
            to_mesh(MeshFile(str(path), HEIGHTS[category][0]))
            digest.update(f"{category}/{path.name}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    files = {category: tuple(map(str, paths)) for category, paths in found.items()}
    return Assets(files, digest.hexdigest())


def _meshes(folder: Path) -> list[Path]:
    meshes = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not meshes:
        raise DataError(f"--assets {folder}: no mesh there; expected files of {', '.join(SUFFIXES)}")
    return meshes
