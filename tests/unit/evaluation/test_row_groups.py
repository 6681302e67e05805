"""Parts of row groups: what cannot be evaluated is a text in its place."""

from __future__ import annotations

import torch

from charmnet.methods import CharmNetMethod
from pipelines.evaluation.images import row_images
from pipelines.evaluation.row_groups import GroupPart, scored_part
from pipelines.evaluation.scoring import DEFAULT_SCORING, evaluate_images
from tests.unit.evaluation.test_images import real_row


def test_a_text_stays_in_its_place_and_outputs_that_are_not_finite_become_one() -> None:
    (image,) = row_images(real_row())
    part = GroupPart((0, 1), 4, ["broken", image, "sizes differ", image])
    method = CharmNetMethod(width=4, seed=0)
    result = evaluate_images(method, [image, image])[0]
    scored = scored_part(method, part, DEFAULT_SCORING, "cpu")
    assert (scored.group, scored.group_images) == ((0, 1), 4)
    assert scored.entries == ["broken", result, "sizes differ", result]
    with torch.no_grad():
        for network in method.inference_modules():
            for parameter in network.parameters():
                parameter.fill_(torch.nan)
    first, nan, third, same = scored_part(method, part, DEFAULT_SCORING, "cpu").entries
    assert (first, third) == ("broken", "sizes differ")
    assert nan == same
    assert "NaN" in str(nan)
