"""The photograph that an image is made of, by its id.

Composites of one photograph are not independent: they share its scene, its foreground and its camera. So
intervals are over photographs, and a photograph's composites stay together.
"""

from __future__ import annotations

import re

from charmnet.vocabulary import Domain

_DRAWN = re.compile(r"^(.+):\d+$")  # a sample of photographs with masks: one of its composites
_OF_SCENE = re.compile(r"^(.+):\d+:\d+$")  # a scene under its conditions of background and foreground
_LEAST_PIECES = 3


def photograph_of(identity: str, domain: Domain) -> str:
    """Return the name of the photograph, or of the rendered scene, that an evaluated image is made of.

    Args:
        identity: id of the image: SUBSET/IMAGE_MASK_VARIANT of a pair (iHarmony4's names),
            SUBSET/IMAGE_MASK:K of a mask whose composites are drawn, SCENE:BACKGROUND:FOREGROUND of a scene,
            or SUBSET/SCENE-BACKGROUND_FOREGROUND of a rendered pair. Another id is a photograph of its own.
        domain: domain of the image.
    """
    if scene := _OF_SCENE.match(identity):
        return scene[1]
    folder, slash, name = identity.rpartition("/")
    if domain is Domain.RENDERED:
        scene_name, dash, _ = name.rpartition("-")
        return f"{folder}{slash}{scene_name}" if dash else identity
    if drawn := _DRAWN.match(name):
        image, mask_mark, _ = drawn[1].rpartition("_")
        return f"{folder}{slash}{image if mask_mark else drawn[1]}"
    pieces = name.rsplit("_", _LEAST_PIECES - 1)
    return f"{folder}{slash}{pieces[0]}" if len(pieces) == _LEAST_PIECES else identity
