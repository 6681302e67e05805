"""What stands in a 3D scene: plain data, without a word of what renders it.

Lengths are metres, angles degrees; z points up, the ground is z = 0. Colours are linear reflectances in 0..1.
A description goes to JSON and back unchanged, so that a scene can be kept, compared and mended by hand.
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
    """What a thing is there for; the foreground is what the mask shows."""

    FOREGROUND = "foreground"
    FIGURE = "figure"  # other people, animals and objects of the foreground's kind
    GROUND = "ground"
    STRUCTURE = "structure"  # buildings, walls, floors, ceilings, furniture
    VEGETATION = "vegetation"
    PROP = "prop"


class Pattern(StrEnum):
    PLAIN = "plain"
    CHECKER = "checker"
    STRIPES = "stripes"
    BRICKS = "bricks"
    NOISE = "noise"  # grass, asphalt, plaster, fabric


@dataclass(frozen=True)
class Material:
    """
    Attributes:
        color, second_color: reflectances; the second one is the pattern's other colour.
        pattern_meters: length of one period of the pattern.
        roughness: 1 is matt; below it a glossy coat, 0.05 being nearly a mirror.
    """

    color: Color
    roughness: float = 1.0
    metallic: bool = False
    pattern: Pattern = Pattern.PLAIN
    second_color: Color = (0.0, 0.0, 0.0)
    pattern_meters: float = 1.0


@dataclass(frozen=True)
class Box:
    """Centred on the origin; `bevel_meters` rounds its edges."""

    size: Vector
    bevel_meters: float = 0.0
    kind: Literal["box"] = "box"


@dataclass(frozen=True)
class Ball:
    """An ellipsoid about the origin."""

    radii: Vector
    kind: Literal["ball"] = "ball"


@dataclass(frozen=True)
class Tube:
    """A tapered capsule: two balls and what spans them."""

    start: Vector
    end: Vector
    start_radius: float
    end_radius: float
    kind: Literal["tube"] = "tube"


@dataclass(frozen=True)
class Blend:
    """The smooth union of tubes, as limbs grow out of a body.

    Attributes:
        smoothing_meters: over which neighbouring surfaces melt together.
        resolution_meters: of the grid that it is meshed on.
        within: only what lies inside any of these is kept, as of a skirt down to its hem; empty keeps all.
        without: what lies inside any of these is cut away, as from a jacket that stands open.
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

    One that ends where it began, counter-clockwise, makes a ring with a hole in it.
    """

    profile: tuple[tuple[float, float], ...]
    smooth: bool = True
    kind: Literal["lathe"] = "lathe"


@dataclass(frozen=True)
class Extrusion:
    """A simple polygon of (x, z) points, counter-clockwise, drawn out over `width` along y about y = 0.

    Attributes:
        lean: by which either side leans inwards, metres per metre above the outline's z = 0.
    """

    outline: tuple[tuple[float, float], ...]
    width: float
    bevel_meters: float = 0.0
    lean: float = 0.0
    kind: Literal["extrusion"] = "extrusion"


@dataclass(frozen=True)
class Foliage:
    """Leaves strewn within an ellipsoid about the origin, most of them near its surface.

    Attributes:
        leaf_meters: length of a leaf.
        leaf_width_ratio: its width by its length.
        seed: of where they lie.
    """

    radii: Vector
    count: int
    leaf_meters: float
    seed: int
    leaf_width_ratio: float = 0.55
    kind: Literal["foliage"] = "foliage"


@dataclass(frozen=True)
class MeshFile:
    """A mesh of the user's own: OBJ, PLY or glTF, scaled to `height` and stood upon the origin."""

    path: str
    height: float
    kind: Literal["meshfile"] = "meshfile"


Shape = Annotated[
    Box | Ball | Tube | Blend | Lathe | Extrusion | Foliage | MeshFile, Field(discriminator="kind")
]


@dataclass(frozen=True)
class Pose:
    """Scaled, then turned by roll (about x), pitch (about y) and yaw (about z), then moved."""

    position: Vector = (0.0, 0.0, 0.0)
    yaw_degrees: float = 0.0
    pitch_degrees: float = 0.0
    roll_degrees: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class Part:
    shape: Shape
    material: Material
    pose: Pose = Pose()


@dataclass(frozen=True)
class Thing:
    """Parts that belong together, about their own origin: on the ground, under their middle, facing -y.

    Attributes:
        category: a foreground category ("human"), or what it is ("tree", "house", "wall").
    """

    category: str
    role: Role
    parts: tuple[Part, ...]
    pose: Pose = Pose()


@dataclass(frozen=True)
class Lamp:
    """A ball that shines evenly: street lamps at night, ceiling lamps and lit windows.

    Attributes:
        intensity: radiant intensity by colour, in the renderer's arbitrary unit; 1 lights a wall at 1 m.
        night_only: off by day, as a street lamp is.
    """

    position: Vector
    radius: float
    intensity: Color
    night_only: bool = True


@dataclass(frozen=True)
class Camera:
    """
    Attributes:
        field_of_view_degrees: across the picture's longer side.
    """

    position: Vector
    target: Vector
    field_of_view_degrees: float


@dataclass(frozen=True)
class Scene:
    """A 3D scene with its one foreground.

    Attributes:
        kind: street, park, field, raceway, room or hall.
        indoor: the sky and the sun come in through openings, lamps may burn by day.
    """

    kind: str
    seed: int
    indoor: bool
    things: tuple[Thing, ...]
    lamps: tuple[Lamp, ...]
    camera: Camera

    @property
    def foreground(self) -> Thing:
        """The one thing that the mask shows.

        Raises:
            DataError: there is none or more than one.
        """
        found = [thing for thing in self.things if thing.role is Role.FOREGROUND]
        if len(found) != 1:
            raise DataError(f"scene {self.kind} {self.seed}: {len(found)} foregrounds; expected exactly one")
        return found[0]

    def to_json(self) -> dict[str, Any]:
        """The scene in what JSON knows."""
        return dict(_json_of_scenes().dump_python(self, mode="json"))

    @classmethod
    def from_json(cls, value: Any) -> Scene:
        """What `to_json` gave.

        Raises:
            DataError: a field is missing or of another kind; the message names it.
        """
        try:
            return _json_of_scenes().validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(key) for key in first["loc"])
            raise DataError(
                f"scene description, field {place or 'scene'}: {first['msg']}, got {first['input']!r:.80}; "
                "expected what Scene.to_json writes"
            ) from None


@cache
def _json_of_scenes() -> TypeAdapter[Scene]:
    return TypeAdapter(Scene)
