"""Meshes of shapes are closed, face outward and have the right volume; unusable mesh files are named."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from charmnet.errors import DataError
from pipelines.rendering.description import Ball, Blend, Box, Extrusion, Lathe, MeshFile, Pose, Shape, Tube
from pipelines.rendering.shapes import Mesh, to_mesh, transform

LENGTHS = st.floats(0.01, 3.0)
L_OUTLINE = ((0, 0), (1, 0), (1, 0.3), (0.3, 0.3), (0.3, 1), (0, 1))
BRANCH = (Tube((0, 0, 0), (0, 0, 1), 0.2, 0.1), Tube((0, 0, 0.5), (0.5, 0, 1), 0.1, 0.05))
SHAPES = (
    Box((1, 2, 3)),
    Box((1, 2, 3), 0.2),
    Box((1, 2, 3), 0.5),
    Ball((1, 2, 0.5)),
    Tube((0, 0, 0), (1, 1, 1), 0.3, 0.1),
    Tube((0, 0, 0), (1, -1, 1), 0.0, 0.3),
    Tube((0, 0, 0), (0, 0.1, 0), 0.3, 0.1),
    Blend(BRANCH, 0.05, 0.02),
    Blend(BRANCH, 0.05, 0.02, within=(Tube((0, 0, 9), (0, 0, 9), 8.5, 8.5),), without=(BRANCH[1],)),
    Lathe(((0.1, 0), (0.2, 1))),
    Lathe(((0, 0), (0.3, 0.2), (0.2, 0.5), (0, 1)), smooth=False),
    Extrusion(L_OUTLINE, 0.4),
    Extrusion(L_OUTLINE, 0.4, 0.03),
)


def solid(mesh: Mesh) -> trimesh.Trimesh:
    body = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    body.merge_vertices(merge_norm=True, merge_tex=True)
    return body


def volume(shape: Shape) -> float:
    return float(solid(to_mesh(shape)).volume)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_every_shape_is_closed_and_faces_outward(shape: Shape) -> None:
    mesh = to_mesh(shape)
    body = solid(mesh)
    assert body.is_watertight
    assert body.volume > 0
    assert (mesh.vertices.dtype, mesh.faces.dtype, mesh.normals.dtype) == (np.float32, np.int32, np.float32)
    np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-5)
    corners = mesh.vertices[mesh.faces]
    facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    along = np.einsum("ij,ij->i", facing, mesh.normals[mesh.faces].mean(axis=1))
    assert (along >= -1e-9).all()


@settings(max_examples=25, deadline=None)
@given(size=st.tuples(LENGTHS, LENGTHS, LENGTHS))
def test_the_volumes_of_boxes_and_balls(size: tuple[float, float, float]) -> None:
    assert volume(Box(size)) == pytest.approx(np.prod(size), rel=1e-4)
    assert volume(Ball(size)) == pytest.approx(4 / 3 * np.pi * np.prod(size), rel=0.02)


@settings(max_examples=25, deadline=None)
@given(end=st.tuples(LENGTHS, LENGTHS, LENGTHS), radius=LENGTHS)
def test_the_volume_of_a_capsule(end: tuple[float, float, float], radius: float) -> None:
    length = np.linalg.norm(end)
    expected = np.pi * radius**2 * length + 4 / 3 * np.pi * radius**3
    assert volume(Tube((0, 0, 0), end, radius, radius)) == pytest.approx(expected, rel=0.02)


def test_a_blend_of_one_tube_is_that_tube() -> None:
    tube = Tube((0.1, 0, 0), (0.2, 0.3, 0.8), 0.2, 0.1)
    assert volume(Blend((tube,), 0.05, 0.01)) == pytest.approx(volume(tube), rel=0.01)


def test_a_blend_is_cut_within_and_without() -> None:
    ball = Tube((0, 0, 0), (0, 0, 0), 0.5, 0.5)
    upper_half = Tube((0, 0, 50), (0, 0, 50), 50, 50)
    kept = solid(to_mesh(Blend((ball,), 0.0, 0.02, within=(upper_half,))))
    cut = solid(to_mesh(Blend((ball,), 0.0, 0.02, without=(upper_half,))))
    assert kept.bounds[0, 2] == pytest.approx(0, abs=0.02)
    assert cut.bounds[1, 2] == pytest.approx(0, abs=0.02)
    assert kept.volume + cut.volume == pytest.approx(4 / 3 * np.pi * 0.125, rel=0.02)


def test_sharp_edges_stay_sharp_and_round_ones_round() -> None:
    assert len(np.unique(to_mesh(Box((1, 1, 1))).normals, axis=0)) == 6
    ball = to_mesh(Ball((1, 1, 1)))
    np.testing.assert_allclose(ball.normals, ball.vertices, atol=0.02)


def test_a_bevel_keeps_the_extent() -> None:
    for shape in (
        Box((1, 2, 3), 0.3),
        Extrusion(((-0.5, -1.5), (0.5, -1.5), (0.5, 1.5), (-0.5, 1.5)), 2, 0.3),
    ):
        np.testing.assert_allclose(np.ptp(to_mesh(shape).vertices, axis=0), (1, 2, 3), atol=1e-6)


def test_a_pose_scales_then_rolls_then_pitches_then_yaws_then_moves() -> None:
    pose = Pose((10, 20, 30), yaw_degrees=90, pitch_degrees=90, roll_degrees=90, scale=2)
    # (0, 0, 1): doubled; rolled about x to -y; pitch leaves y; yawed about z from -y to +x; moved.
    np.testing.assert_allclose(transform(pose) @ (0, 0, 1, 1), (12, 20, 30, 1), atol=1e-12)
    np.testing.assert_allclose(transform(pose) @ (1, 0, 0, 1), (10, 20, 28, 1), atol=1e-12)
    np.testing.assert_allclose(transform(Pose()), np.eye(4))


@pytest.mark.parametrize(
    "shape",
    [
        Box((1, 1, 1), 0.6),
        Box((1, 0, 1)),
        Extrusion(((0, 0), (0, 1), (1, 0)), 1),  # clockwise
        Extrusion(((0, 0), (1, 1), (1, 0), (0, 1)), 1),  # crosses itself
        Extrusion(L_OUTLINE, 0.4, 0.3),
        Lathe(((-0.1, 0), (0.1, 1))),
        Blend((Tube((0, 0, 0), (0, 0, 1), 0.001, 0.001),), 0.0, 0.1),
    ],
)
def test_measures_that_enclose_nothing_are_refused(shape: Shape) -> None:
    with pytest.raises(ValueError, match=r"expected|must be"):
        to_mesh(shape)


@pytest.mark.parametrize("suffix", ["obj", "ply", "glb"])
def test_a_mesh_file_stands_upright_at_its_height(tmp_path: Path, suffix: str) -> None:
    body = trimesh.creation.box((1, 2, 4) if suffix != "glb" else (1, 4, 2))  # glTF is y-up
    body.apply_translation((5, 6, 7))
    path = tmp_path / f"tower.{suffix}"
    body.export(path)
    mesh = to_mesh(MeshFile(str(path), 2.0))
    np.testing.assert_allclose(mesh.vertices.min(axis=0), (-0.25, -0.5, 0), atol=1e-6)
    np.testing.assert_allclose(mesh.vertices.max(axis=0), (0.25, 0.5, 2), atol=1e-6)
    assert solid(mesh).volume == pytest.approx(1.0)


def test_a_front_of_gltf_faces_minus_y(tmp_path: Path) -> None:
    nose = trimesh.creation.cone(0.2, 1.0)  # points along z, where a glTF's front is
    nose.export(tmp_path / "nose.glb")
    vertices = to_mesh(MeshFile(str(tmp_path / "nose.glb"), 0.4)).vertices
    tip = vertices[np.abs(vertices[:, [0, 2]] - (0, 0.2)).max(axis=1) < 0.01]
    assert tip[:, 1].min() == pytest.approx(-0.5, abs=0.01)


def test_a_small_hole_is_filled(tmp_path: Path) -> None:
    body = trimesh.creation.box()
    body.update_faces(np.arange(len(body.faces)) != 3)
    body.export(tmp_path / "box.ply")
    assert solid(to_mesh(MeshFile(str(tmp_path / "box.ply"), 1.0))).is_watertight


def test_a_mesh_that_stays_open_is_refused(tmp_path: Path) -> None:
    body = trimesh.creation.icosphere(subdivisions=3)
    body.update_faces(body.triangles_center[:, 2] < 0.5)
    body.export(tmp_path / "bowl.ply")
    with pytest.raises(DataError, match=r"bowl\.ply: the mesh is not watertight.*close its holes"):
        to_mesh(MeshFile(str(tmp_path / "bowl.ply"), 1.0))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("points.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no faces"),
        ("flat.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "flat"),
        ("broken.ply", "ply\nthis is none\n", "cannot be read"),
        ("chair.stp", "ISO-10303-21;", "cannot be read"),
    ],
)
def test_an_unusable_mesh_file_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        to_mesh(MeshFile(str(tmp_path / name), 1.0))
    assert name in str(caught.value)


def test_a_missing_mesh_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.obj: cannot be read"):
        to_mesh(MeshFile(str(tmp_path / "missing.obj"), 1.0))
