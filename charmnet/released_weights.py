"""Weights in the layout of the released code: bare state dicts in `.pth` files, read strictly and safely."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from charmnet.errors import WeightsError
from charmnet.methods import (
    CharmNetMethod,
    CUTMethod,
    CycleGANMethod,
    DoveNetMethod,
    HarmonyTransformerMethod,
    IDIHMethod,
    IntrinsicMethod,
    Method,
    RainNetMethod,
)
from charmnet.methods.charmnet_networks import RELEASED_NAMES, check_released
from charmnet.methods.released import ReleasedNetworks

_LAYOUTS: dict[str, Callable[..., Method]] = {
    "decoder.to_rgb.weight": IDIHMethod.from_released,
    "model.model.0.weight": DoveNetMethod.from_released_generator,
    "model_layer0.weight": RainNetMethod.from_released_generator,
    "ifm.model.0.conv.weight": IntrinsicMethod.from_released,
    "light_generator.light_embed.weight": HarmonyTransformerMethod.from_released,
    "transformer_enc.encoder.layers.0.linear1.weight": HarmonyTransformerMethod.from_released,
    "model.7.filt": CUTMethod.from_released_generator,
    "model.10.conv_block.1.weight": CycleGANMethod.from_released_generator,
}
"""Readers of the layouts that one network was released in, by an entry that no other layout has."""


def method_of_one_network(state: Mapping[str, Tensor], source: str) -> Method | None:
    """Return the method whose released network a state dict is of; None where its layout is of none.

    Args:
        state: tensors by their released names.
        source: the file, for messages.

    Raises:
        WeightsError: the layout is known, and entries do not fit it; names them.
    """
    for entry, read in _LAYOUTS.items():
        if entry in state:
            return read(state, source=source)
    return None


def load_released(source: Path | Mapping[str, Path], epoch: str = "latest") -> dict[str, dict[str, Tensor]]:
    """Read released weights for `CharmNetMethod.from_released`.

    Args:
        source: the folder with `<epoch>_net_{G,D,SC1,SC2}.pth`, or the file of each of G, D, SC1 and SC2.
        epoch: the first part of the files' names (a number, `latest` or `iter_<n>`).

    Returns:
        The state dict of each of G, D, SC1 and SC2.

    Raises:
        WeightsError: a file is missing, is not a state dict or does not fit; with the file and the keys.
    """
    paths = source if isinstance(source, Mapping) else released_paths(source, epoch)
    states = {name: read_pth(path) for name, path in paths.items()}
    check_released(states, {name: str(path) for name, path in paths.items()})
    return states


def save_released(method: CharmNetMethod | ReleasedNetworks, folder: Path, epoch: str = "latest") -> None:
    """Write each network as the released code does: `<epoch>_net_<G, D, ...>.pth`, bare state dicts."""
    states = method.released_state_dicts()
    folder.mkdir(parents=True, exist_ok=True)
    for name, state in states.items():
        torch.save(state, _released_path(folder, epoch, name))


def released_paths(folder: Path, epoch: str = "latest") -> dict[str, Path]:
    """Return the files in which the released code keeps its four networks, by network."""
    return {name: _released_path(folder, epoch, name) for name in RELEASED_NAMES}


def _released_path(folder: Path, epoch: str, name: str) -> Path:
    return folder / f"{epoch}_net_{name}.pth"


def _reason(error: Exception) -> str:
    """Return the error's first sentence, without torch's advice to run the file's content."""
    text = re.sub(r"(?s).*WeightsUnpickler error: ", "", str(error))
    return re.split(r"\n|\. ", text)[0] or type(error).__name__


def read_pth(path: Path) -> dict[str, Tensor]:
    """Read a bare state dict, of any network, from a `.pth` file; nothing in it is run.

    Raises:
        WeightsError: the file cannot be read or holds anything but tensors by name; with the file's name.
    """
    _refuse_compressed(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # the unpickler has no errors of its own: data that is no pickle raises any
        raise WeightsError(f"{path} is not a weights file that is safe to read: {_reason(error)}") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path}: expected a mapping of names to tensors, got {type(state).__name__}")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise WeightsError(
                f"{path}: expected a mapping of names to tensors, got {type(value).__name__} at {key!r}"
            )
    return dict(state)


def _refuse_compressed(path: Path) -> None:
    """Refuse a `.pth` with compressed members, which could hold a thousand times its size."""
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = [m.filename for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return  # the old format, or nothing that `torch.load` takes either
    if compressed:
        raise WeightsError(f"{path} is not a weights file: its member {compressed[0]} is compressed")
