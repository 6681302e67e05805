"""Models for other programs: ONNX, a torch.export program, or weights, in a folder with a model card.

ONNX and the program hold one network, `PortableNetwork`: pictures of 0..1 in and out, at any size where the
model has colour maps, else at the network's own. Beside it there are always the files that `--model` takes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from charmnet.augment import TRAINING_SIZE
from charmnet.batch import denormalize, normalize
from charmnet.errors import WeightsError
from charmnet.methods import HarmonizationMethod
from charmnet.networks.color_maps import apply_color_maps
from charmnet.weights import save_model

ExportFormat = Literal["onnx", "pt2", "safetensors"]
EXPORT_FILES: dict[ExportFormat, str] = {
    "onnx": "model.onnx",
    "pt2": "model.pt2",
    "safetensors": "model.safetensors",
}
"""The file that each format is for; safetensors' is always there."""

MAX_SIDE = 30_000
"""Most pixels a side that exported colour maps take."""

_EXAMPLE_SIDES = (200, 264)  # other than any network's size, and not the same


class PortableNetwork(nn.Module):
    """A model with all that belongs to it between a picture and its result.

    Args:
        method: the model, whose networks are put in evaluation mode.
    """

    def __init__(self, method: HarmonizationMethod) -> None:
        super().__init__()
        self._method = method
        self.networks = nn.ModuleList(method.inference_modules()).eval()

    def forward(self, composite: Tensor, mask: Tensor) -> Tensor:
        """Harmonize a picture.

        Args:
            composite: [1,3,H,W] float32 RGB in 0..1; of any size with colour maps, else 256x256.
            mask: [1,1,H,W] float32, 1 = foreground.

        Returns:
            [1,3,H,W] float32 RGB in 0..1, not rounded.
        """
        method, requirements = self._method, self._method.requirements
        values = normalize(composite, requirements.value_range)
        if method.has_color_maps:
            small, small_mask = _resampled(torch.cat([values, mask], dim=1), method.size).split((3, 1), dim=1)
            result = apply_color_maps(method.infer_color_maps(small, small_mask), values, mask)
        else:
            result, _ = method.infer(values, mask)
            if requirements.pastes:
                result = result * mask + values * (1 - mask)
        return denormalize(result, requirements.value_range).clamp(0, 1)


def _resampled(values: Tensor, size: int) -> Tensor:
    """Return [1,C,H,W] as [1,C,size,size], as `augment.resize` makes it but for its rounding.

    Made of products of matrices: exported graphs take them for any H and W, interpolation by areas not.
    """
    height, width = (_count(length, values) for length in values.shape[-2:])
    by_areas = (torch.minimum(height, width) >= size) & (size != TRAINING_SIZE)
    rows, columns = (_weights(length, size, by_areas, values) for length in values.shape[-2:])
    return rows @ values @ columns.T


def _index(length: int, like: Tensor) -> Tensor:
    return torch.arange(length, dtype=like.dtype, device=like.device)


def _count(length: int, like: Tensor) -> Tensor:
    """Return a length as a tensor; the sum is what exporters keep of it for any length."""
    return torch.ones(length, dtype=like.dtype, device=like.device).sum()


def _weights(length: int, size: int, by_areas: Tensor, like: Tensor) -> Tensor:
    """Return [size,length]: the shares of `length` pixels in each of `size`."""
    pixels = _index(length, like)[None]
    count = _count(length, like)
    step = count / size
    start = (_index(size, like) * step)[:, None]
    areas = (torch.minimum(start + step, pixels + 1) - torch.maximum(start, pixels)).clamp(min=0) / step
    position = torch.minimum((start + step / 2 - 0.5).clamp(min=0), count - 1)
    linear = (1 - (pixels - position).abs()).clamp(min=0)
    return torch.where(by_areas, areas, linear)


def export_model(
    folder: Path,
    method: HarmonizationMethod,
    formats: Sequence[ExportFormat],
    metadata: Mapping[str, Any],
) -> None:
    """Write a model's files into a folder; `model_card.card_text` is what explains them.

    Args:
        folder: folder, created if need be; files of the same names are overwritten.
        method: the model, on the CPU.
        formats: what to write; safetensors is written in any case.
        metadata: values to keep with the weights, that JSON can hold.

    Raises:
        WeightsError: the model cannot be written in a format.
        ImportError: a package of the extra `export` is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if {"onnx", "pt2"} & set(formats):
        _write_programs(folder, method, formats)
    save_model(folder, method, metadata)  # last: a folder with it is whole


def _write_programs(folder: Path, method: HarmonizationMethod, formats: Sequence[ExportFormat]) -> None:
    network = PortableNetwork(method)
    sides = _EXAMPLE_SIDES if method.has_color_maps else (TRAINING_SIZE, TRAINING_SIZE)
    example = torch.rand(1, 3, *sides), torch.ones(1, 1, *sides)
    shapes = None
    if method.has_color_maps:
        height, width = (torch.export.Dim(name, min=2, max=MAX_SIDE) for name in ("height", "width"))
        shapes = ({2: height, 3: width}, {2: height, 3: width})
    with _quiet(), torch.no_grad():
        try:
            program = torch.export.export(network, example, dynamic_shapes=shapes)
            if "pt2" in formats:
                torch.export.save(program, folder / EXPORT_FILES["pt2"])
            if "onnx" in formats:
                _write_onnx(program, folder / EXPORT_FILES["onnx"])
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).strip().split("\n", 1)[0]
            raise WeightsError(f"a model of {method.name} cannot be exported: {reason}") from error


def _write_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    torch.onnx.export(
        program,
        (),
        path,
        input_names=["composite", "mask"],
        output_names=["harmonized"],
        external_data=False,
        dynamo=True,
        verbose=False,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which warns of packages that it does not need, and of its own use of torch."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
