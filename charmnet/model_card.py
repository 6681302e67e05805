"""Model cards: README.md of a model's folder, in the layout that the Hugging Face Hub takes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import charmnet
from charmnet.augment import TRAINING_SIZE
from charmnet.export import ExportFormat
from charmnet.methods import HarmonizationMethod

CARD_FILE = "README.md"
_ERRORS = ("mse", "fmse", "psnr", "ssim")
_ONNX = """import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("model.onnx")
picture = np.asarray(Image.open("composite.png").convert("RGB"){resize}, np.float32) / 255
mask = np.asarray(Image.open("mask.png").convert("L"){resize})[None, None] >= 128
inputs = {{"composite": picture.transpose(2, 0, 1)[None], "mask": mask.astype(np.float32)}}
(harmonized,) = session.run(["harmonized"], inputs)
Image.fromarray(np.rint(harmonized[0].transpose(1, 2, 0) * 255).astype(np.uint8)).save("harmonized.png")
"""
_PT2 = """import torch

network = torch.export.load("model.pt2").module()
composite = torch.rand(1, 3, {height}, {width})  # RGB in 0..1
mask = torch.zeros(1, 1, {height}, {width})
mask[:, :, 50:150, 50:150] = 1  # the foreground
with torch.no_grad():
    harmonized = network(composite, mask)  # [1,3,{height},{width}] in 0..1
"""
_PYTHON = """from pathlib import Path
from charmnet.encoded_pictures import EncodedPicture, harmonize_encoded
from charmnet.weights import load_checkpoint

model, _ = load_checkpoint(Path("."))
composite, mask = (EncodedPicture(Path(name).read_bytes(), name) for name in ("composite.png", "mask.png"))
Path("result.png").write_bytes(harmonize_encoded(model, composite, mask, "result.png").data)
"""


@dataclass(frozen=True)
class CardFacts:
    """What a card says beside what the model tells itself.

    Attributes:
        name: name of the model.
        license: identifier of the weights' licence, as the Hub spells them; it depends on the data.
        data: what it was trained on, a sentence each.
        figures: errors by whose they are ("composite", "harmonized") and name, over a data set.
        figures_of: the data set of the figures.
    """

    name: str
    license: str = "unknown"
    data: Sequence[str] = ()
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    figures_of: str = ""


def card_text(method: HarmonizationMethod, formats: Sequence[ExportFormat], facts: CardFacts) -> str:
    """Return the card of a model that was exported in some formats."""
    size = "any size" if method.has_color_maps else f"{TRAINING_SIZE}x{TRAINING_SIZE}"
    parts = [
        _front_matter(facts),
        f"# {facts.name}\n\nMakes the pasted foreground of a composite photograph look as if it had been "
        f"taken with its background. A model of the method `{method.name}` of charmnet "
        f"{charmnet.__version__}.",
        f"Inputs: `composite`, RGB in 0..1, and `mask`, 1 in the foreground; pictures of {size}. Output: "
        "`harmonized`, RGB in 0..1, as large.",
        f"```json\n{json.dumps(method.arguments, indent=1)}\n```",
        "## Data\n\n" + ("\n".join(f"- {line}" for line in facts.data) or "Not known."),
        "## Figures\n\n" + _figures(facts),
        f"## Licence\n\n{facts.license}",
        "## Use\n\n`charmnet harmonize --model FOLDER --composite in.jpg --mask mask.png --out out.png`, or:",
        *(f"```python\n{code}```" for code in _examples(method, formats)),
    ]
    return "\n\n".join(parts) + "\n"


def _examples(method: HarmonizationMethod, formats: Sequence[ExportFormat]) -> list[str]:
    side = "" if method.has_color_maps else f".resize(({TRAINING_SIZE}, {TRAINING_SIZE}))"
    height, width = (480, 640) if method.has_color_maps else (TRAINING_SIZE, TRAINING_SIZE)
    examples = {"onnx": _ONNX.format(resize=side), "pt2": _PT2.format(height=height, width=width)}
    return [*(examples[name] for name in ("onnx", "pt2") if name in formats), _PYTHON]


def _front_matter(facts: CardFacts) -> str:
    # JSON's strings and lists are YAML's, too.
    lines = {
        "license": facts.license,
        "library_name": "charmnet",
        "pipeline_tag": "image-to-image",
        "tags": ["image-harmonization", "image-compositing"],
    }
    text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in lines.items())
    return f"---\n{text}{_model_index(facts)}---"


def _model_index(facts: CardFacts) -> str:
    errors = facts.figures.get("harmonized", {})
    metrics = [{"type": name, "value": errors[name]} for name in _ERRORS if name in errors]
    if not metrics:
        return ""
    data = {"name": facts.figures_of, "type": facts.figures_of}
    result = {"task": {"type": "image-to-image"}, "dataset": data, "metrics": metrics}
    return f"model-index: {json.dumps([{'name': facts.name, 'results': [result]}])}\n"


def _figures(facts: CardFacts) -> str:
    if not facts.figures:
        return "None given."
    names = [name for name in _ERRORS if any(name in errors for errors in facts.figures.values())]
    rows = [
        f"| {whose} | " + " | ".join(f"{errors[name]:.4g}" if name in errors else "" for name in names) + " |"
        for whose, errors in facts.figures.items()
    ]
    head = [f"| {facts.figures_of} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    return "\n".join([*head, *rows])
