"""Descriptions of 3D scenes as plain data, independent of any renderer.

Lengths are metres, angles degrees; z points up, the ground is z = 0. Colours are linear reflectances in 0..1.
A description goes to JSON and back unchanged, so that a scene can be stored, compared and edited by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from charmnet.errors import DataError

Color = tuple[float, float, float]
Vector = tuple[float, float, float]


class Role(StrEnum):
    """Purpose of a thing in its scene; the mask shows the foreground."""

    FOREGROUND = "foreground"
    FIGURE = "figure"  # other people, animals and objects of the foreground's kind
    GROUND = "ground"
    STRUCTURE = "structure"  # buildings, walls, floors, ceilings, furniture
    VEGETATION = "vegetation"
    PROP = "prop"


class Pattern(StrEnum):
    """Pattern of a material in two colours."""

    PLAIN = "plain"
    CHECKER = "checker"
    STRIPES = "stripes"
    BRICKS = "bricks"
    NOISE = "noise"  # grass, asphalt, plaster, fabric


@dataclass(frozen=True)
class Material:
    """Look of a surface.

    Attributes:
        color: reflectance.
        roughness: 1 is matt; less has a glossy coat, and 0.05 is nearly a mirror.
        metallic: whether the surface reflects as bare metal.
        pattern: pattern of the two colours.
        second_color: reflectance of the pattern's other colour.
        pattern_meters: length of one period of the pattern.
    """

    color: Color
    roughness: float = 1.0
    metallic: bool = False
    pattern: Pattern = Pattern.PLAIN
    second_color: Color = (0.0, 0.0, 0.0)
    pattern_meters: float = 1.0


@dataclass(frozen=True)
class Box:
    """A box centred on the origin; `bevel_meters` rounds its edges."""

    size: Vector
    bevel_meters: float = 0.0
    kind: Literal["box"] = "box"


@dataclass(frozen=True)
class Ball:
    """An ellipsoid centred on the origin."""

    radii: Vector
    kind: Literal["ball"] = "ball"


@dataclass(frozen=True)
class Tube:
    """A tapered capsule: the convex hull of two balls."""

    start: Vector
    end: Vector
    start_radius: float
    end_radius: float
    kind: Literal["tube"] = "tube"


@dataclass(frozen=True)
class Blend:
    """The smooth union of tubes, as limbs grow out of a body.

    Attributes:
        tubes: tubes that are united.
        smoothing_meters: distance over which neighbouring surfaces are blended.
        resolution_meters: step of the grid on which the union is meshed.
        within: parts outside all of these are cut away, such as a skirt below its hem; empty cuts nothing.
        without: parts inside any of these are cut away, such as the opening of a jacket.
    """

    tubes: tuple[Tube, ...]
    smoothing_meters: float
    resolution_meters: float
    within: tuple[Tube, ...] = ()
    without: tuple[Tube, ...] = ()
    kind: Literal["blend"] = "blend"


@dataclass(frozen=True)
class Lathe:
    """A profile of (radius, height) points, from bottom to top, turned about the z axis.

    A profile that ends where it began, counter-clockwise, makes a ring with a hole in it.
    """

    profile: tuple[tuple[float, float], ...]
    smooth: bool = True
    kind: Literal["lathe"] = "lathe"


@dataclass(frozen=True)
class Extrusion:
    """A simple polygon of (x, z) points, counter-clockwise, extruded by `width` along y about y = 0.

    Attributes:
        outline: points of the polygon.
        width: metres along y.
        bevel_meters: bevel of the edges between the outline's faces and the two ends.
        lean: metres by which each end leans inwards per metre above the outline's z = 0.
    """

    outline: tuple[tuple[float, float], ...]
    width: float
    bevel_meters: float = 0.0
    lean: float = 0.0
    kind: Literal["extrusion"] = "extrusion"


@dataclass(frozen=True)
class Foliage:
    """Leaves scattered in an ellipsoid about the origin, most of them near its surface.

    Attributes:
        radii: radii of the ellipsoid.
        count: number of leaves.
        leaf_meters: length of a leaf.
        seed: seed of the leaves' positions.
        leaf_width_ratio: width of a leaf divided by its length.
    """

    radii: Vector
    count: int
    leaf_meters: float
    seed: int
    leaf_width_ratio: float = 0.55
    kind: Literal["foliage"] = "foliage"


@dataclass(frozen=True)
class MeshFile:
    """A user's own mesh: OBJ, PLY or glTF, scaled to `height` and standing on the origin."""

    path: str
    height: float
    kind: Literal["meshfile"] = "meshfile"


Shape = Annotated[
    Box | Ball | Tube | Blend | Lathe | Extrusion | Foliage | MeshFile, Field(discriminator="kind")
]


@dataclass(frozen=True)
class Pose:
    """A transform: scale, then turn by roll (about x), pitch (about y) and yaw (about z), then move."""

    position: Vector = (0.0, 0.0, 0.0)
    yaw_degrees: float = 0.0
    pitch_degrees: float = 0.0
    roll_degrees: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Part:
    """A shape in its material, placed in the frame of its thing."""

    shape: Shape
    material: Material
    pose: Pose = Pose()


@dataclass(frozen=True)
class Thing:
    """An object of several parts; its origin is on the ground below its middle, and it faces -y.

    Attributes:
        category: a foreground category ("human") or another noun ("tree", "house", "wall").
        role: purpose in the scene.
        parts: parts in the thing's own frame.
        pose: placement of the thing in the scene.
    """

    category: str
    role: Role
    parts: tuple[Part, ...]
    pose: Pose = Pose()


@dataclass(frozen=True)
class Lamp:
    """A ball that shines evenly in all directions, such as a street lamp or a ceiling lamp.

    Attributes:
        position: middle of the ball.
        radius: radius of the ball.
        intensity: radiant intensity by colour; 1 gives a wall at 1 m the condition's `lamp_kilolux`.
        night_only: whether the lamp is off by day, as a street lamp is.
    """

    position: Vector
    radius: float
    intensity: Color
    night_only: bool = True


@dataclass(frozen=True)
class Camera:
    """Viewpoint of a scene.

    Attributes:
        position: position of the camera.
        target: point in the middle of the picture.
        field_of_view_degrees: angle across the picture's longer side.
    """

    position: Vector
    target: Vector
    field_of_view_degrees: float


@dataclass(frozen=True)
class Scene:
    """A 3D scene with its one foreground.

    Attributes:
        kind: street, park, field, raceway, room or hall.
        seed: number of the scene among those of its kind.
        indoor: whether daylight comes in through openings only, and lamps may burn by day.
        things: all things, the foreground included.
        lamps: all lamps.
        camera: viewpoint.
    """

    kind: str
    seed: int
    indoor: bool
    things: tuple[Thing, ...]
    lamps: tuple[Lamp, ...]
    camera: Camera

    @property
    def foreground(self) -> Thing:
        """The thing that the mask shows.

        Raises:
            DataError: the scene has no foreground or more than one.
        """
        foregrounds = [thing for thing in self.things if thing.role is Role.FOREGROUND]
        if len(foregrounds) != 1:
            raise DataError(
                f"scene {self.kind} {self.seed}: {len(foregrounds)} foregrounds; expected exactly one"
            )
        return foregrounds[0]

    def to_json(self) -> dict[str, Any]:
        """Return the scene as values that JSON can hold."""
        return dict(_scene_adapter().dump_python(self, mode="json"))

    @classmethod
    def from_json(cls, value: Any) -> Scene:
        """Return the scene that `to_json` has written.

        Raises:
            DataError: a field is missing or has another type; the message names it.
        """
        try:
            return _scene_adapter().validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            location = ".".join(str(key) for key in first["loc"])
            raise DataError(
                f"scene description, field {location or 'scene'}: {first['msg']}, "
                f"got {first['input']!r:.80}; expected what Scene.to_json writes"
            ) from None


@cache
def _scene_adapter() -> TypeAdapter[Scene]:
    return TypeAdapter(Scene)
