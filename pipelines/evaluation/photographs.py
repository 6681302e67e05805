"""The photograph that an image is made of, by its id.

Composites of one photograph are not independent: they share its scene, its foreground and its camera. So
intervals are over photographs, and a photograph's composites stay together.
"""

from __future__ import annotations

import re

from charmnet.vocabulary import Domain

_OF_SCENE = re.compile(r"^(.+):\d+:\d+$")  # a scene under its conditions of background and foreground
_OF_PAIR = re.compile(r"^(.+)_\d+_\d+$")  # a mask of an image, and a composite of it


def photograph_of(identity: str, domain: Domain) -> str:
    """Return the name of the photograph, or of the rendered scene, that an evaluated image is made of.

    Of photographs that are stored with their masks it is known and need not be guessed.

    Args:
        identity: id of the image: SUBSET/IMAGE_MASK_VARIANT of a pair with two numbers (iHarmony4's names),
            SCENE:BACKGROUND:FOREGROUND of a scene, or SUBSET/SCENE-BACKGROUND_FOREGROUND of a rendered pair.
            Another id is a photograph of its own.
        domain: domain of the image.
    """
    if scene := _OF_SCENE.match(identity):
        return scene[1]
    folder, slash, name = identity.rpartition("/")
    if domain is Domain.RENDERED:
        scene_name, dash, _ = name.rpartition("-")
        return f"{folder}{slash}{scene_name}" if dash else identity
    pair = _OF_PAIR.match(name)
    return f"{folder}{slash}{pair[1]}" if pair else identity
