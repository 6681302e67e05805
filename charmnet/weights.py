"""Weights on disk: the released `.pth` layout and the project's own checkpoints, both read strictly.

A checkpoint is a folder: `model.safetensors` (all networks), `optimizer.safetensors` (the tensors of the
optimisers' states) and `checkpoint.json` (the method and its options, the optimisers' other values, metadata,
and the size and SHA-256 of the other two). Nothing in it is pickled, and it is read back to the bit.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from charmnet.errors import WeightsError
from charmnet.methods import METHODS, CharmNetMethod, Method, build_method
from charmnet.methods.charmnet import RELEASED_NAMES, check_released

MODEL_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
CHECKPOINT_FILE = "checkpoint.json"
FORMAT = 1
MAX_DESCRIPTION_BYTES = 16 << 20
_FIELDS = {"format": int, "method": str, "options": dict, "optimizers": dict, "metadata": dict, "files": dict}


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


def save_released(method: CharmNetMethod, folder: Path, epoch: str = "latest") -> None:
    """Write `<epoch>_net_{G,D,SC1,SC2}.pth` as the released code does: bare state dicts on the CPU."""
    folder.mkdir(parents=True, exist_ok=True)
    states = method.released_state_dicts()
    for name, path in released_paths(folder, epoch).items():
        torch.save(states[name], path)


def released_paths(folder: Path, epoch: str = "latest") -> dict[str, Path]:
    """Return the files in which the released code keeps its four networks, by network."""
    return {name: folder / f"{epoch}_net_{name}.pth" for name in RELEASED_NAMES}


@dataclass(frozen=True)
class Snapshot:
    """Copy of a method's state at one moment, from which its training can go on.

    Attributes:
        description: content of `checkpoint.json` but for the files' sizes and hashes.
        tensors: by file and name; on the CPU, in memory of their own.
    """

    description: dict[str, Any]
    tensors: dict[str, dict[str, Tensor]]

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the names and contents of a checkpoint's files.

        checkpoint.json is written last; its presence marks a complete checkpoint.
        """
        files = {}
        for name, tensors in self.tensors.items():
            data = safetensors.torch.save(tensors)
            files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            yield name, data
        text = json.dumps({**self.description, "files": files}, indent=1, allow_nan=False)
        yield CHECKPOINT_FILE, f"{text}\n".encode()


def snapshot(method: Method, metadata: Mapping[str, Any], into: Snapshot | None = None) -> Snapshot:
    """Copy a method's networks and optimisers, which may go on changing.

    Args:
        method: the method to copy.
        metadata: values to keep with it (step, seed, configuration), of types that JSON can hold.
        into: a snapshot of the same method that is no longer needed; its memory is used again, which is
            several times faster.
    """
    before = into.tensors if into else {MODEL_FILE: {}, OPTIMIZER_FILE: {}}
    model = {
        f"{module}.{key}": tensor
        for module, network in method.modules.items()
        for key, tensor in network.state_dict().items()
    }
    tensors, scalars = _split_optimizers(method)
    description = {
        "format": FORMAT,
        "method": method.name,
        "options": method.options,
        "optimizers": scalars,
        "metadata": dict(metadata),
    }
    copies = {MODEL_FILE: _copy_to_cpu(model, before[MODEL_FILE])}
    copies[OPTIMIZER_FILE] = _copy_to_cpu(tensors, before[OPTIMIZER_FILE])
    return Snapshot(description, copies)


def save_checkpoint(folder: Path, method: Method, metadata: Mapping[str, Any]) -> None:
    """Write a checkpoint: the method, its networks and its optimisers.

    Args:
        folder: created if need be; files of the same names are overwritten.
        method: the method to save.
        metadata: see `snapshot`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in snapshot(method, metadata).files():
        (folder / name).write_bytes(data)


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> tuple[Method, dict[str, Any]]:
    """Rebuild a method on a device as it was saved; return it and the metadata.

    Raises:
        WeightsError: a file is missing, torn or changed since, or does not fit; with the file and the reason.
    """
    description = _read_description(folder)
    if description["method"] not in METHODS:
        raise WeightsError(f"{folder / CHECKPOINT_FILE}: unknown method {description['method']!r}")
    try:
        with torch.device("meta"):
            _require_tensors(
                folder, build_method(description["method"], **description["options"]), description
            )
        method = build_method(description["method"], **description["options"]).to(device)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:  # torch's own is a RuntimeError
        raise WeightsError(f"{folder / CHECKPOINT_FILE}: the options do not build it: {error}") from error
    return method, _load(folder, description, method)


def load_into(folder: Path, method: Method) -> dict[str, Any]:
    """Load a checkpoint's state into a method of the same kind; return the metadata.

    Raises:
        WeightsError: the checkpoint is of another method, or as for `load_checkpoint`.
    """
    description = _read_description(folder)
    if description["method"] != method.name:
        raise WeightsError(f"{folder} is a checkpoint of {description['method']}, not of {method.name}")
    return _load(folder, description, method)


def _load(folder: Path, description: Mapping[str, Any], method: Method) -> dict[str, Any]:
    model = _read_tensors(folder, MODEL_FILE, description)
    tensors = _read_tensors(folder, OPTIMIZER_FILE, description)
    modules: dict[str, dict[str, Tensor]] = {}
    for key, tensor in model.items():
        module, _, name = key.partition(".")
        modules.setdefault(module, {})[name] = tensor
    if modules.keys() - method.modules.keys():
        raise WeightsError(f"{folder / MODEL_FILE}: unexpected networks {sorted(modules)}")
    optimizers = _join_optimizers(tensors, description["optimizers"])
    try:
        method.load_state_dict({"modules": modules, "optimizers": optimizers})
    except WeightsError as error:
        raise WeightsError(f"{folder}: {error}") from error
    metadata: dict[str, Any] = description["metadata"]
    return metadata


def _require_tensors(folder: Path, method: Method, description: Mapping[str, Any]) -> None:
    """Refuse options that would take more memory than the model file can fill."""
    tensors = (tensor for network in method.modules.values() for tensor in network.state_dict().values())
    expected_bytes = sum(tensor.nbytes for tensor in tensors)
    file_bytes = description["files"][MODEL_FILE]["bytes"]
    if expected_bytes > file_bytes:
        raise WeightsError(
            f"{folder / CHECKPOINT_FILE}: its options are of networks of {expected_bytes:,} bytes, "
            f"{MODEL_FILE} holds {file_bytes:,}"
        )


def _split_optimizers(method: Method) -> tuple[dict[str, Tensor], dict[str, list[dict[str, Any]]]]:
    """Return the tensors of all optimisers by `optimizer.parameter.value`, and the parameter groups."""
    tensors: dict[str, Tensor] = {}
    groups: dict[str, list[dict[str, Any]]] = {}
    for name, optimizer in method.optimizers.items():
        state = optimizer.state_dict()
        groups[name] = state["param_groups"]
        for index, values in state["state"].items():
            tensors |= {f"{name}.{index}.{value}": tensor for value, tensor in values.items()}
    return tensors, groups


def _join_optimizers(
    tensors: Mapping[str, Tensor], groups: Mapping[str, list[dict[str, Any]]]
) -> dict[str, dict[str, Any]]:
    optimizers: dict[str, dict[str, Any]] = {
        name: {"state": {}, "param_groups": [_with_tuples(group) for group in saved_groups]}
        for name, saved_groups in groups.items()
    }
    for key, tensor in tensors.items():
        name, index, value = key.split(".")
        if name not in optimizers:
            raise WeightsError(f"{CHECKPOINT_FILE} does not describe the optimizer {name}")
        optimizers[name]["state"].setdefault(int(index), {})[value] = tensor
    return optimizers


def _with_tuples(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter group in which `betas`, which JSON made a list, is a tuple again."""
    return {key: tuple(value) if key == "betas" else value for key, value in group.items()}


@torch.no_grad()
def _copy_to_cpu(tensors: Mapping[str, Tensor], into: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU, contiguous; into earlier copies of the same names where there are any."""
    return {
        key: (into[key] if key in into else torch.empty(tensor.shape, dtype=tensor.dtype)).copy_(tensor)
        for key, tensor in tensors.items()
    }


def _read_tensors(folder: Path, name: str, description: Mapping[str, Any]) -> dict[str, Tensor]:
    path, expected = folder / name, description["files"][name]
    data = _read_bytes(path)
    if len(data) != expected["bytes"]:
        raise WeightsError(
            f"{path} has {len(data)} bytes, expected {expected['bytes']}: it is torn or changed"
        )
    if hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise WeightsError(f"{path}: its SHA-256 is not the one in {CHECKPOINT_FILE}; it was changed")
    try:
        return safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} is not a safetensors file: {error}") from error


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / CHECKPOINT_FILE
    try:
        description: dict[str, Any] = json.loads(_read_bytes(path, MAX_DESCRIPTION_BYTES))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not JSON; it is torn or changed: {error}") from error
    _require_fields(description, _FIELDS, str(path))
    if description["format"] != FORMAT:
        raise WeightsError(f"{path} has format {description['format']}, this version reads {FORMAT}")
    _require_fields(description["files"], dict.fromkeys((MODEL_FILE, OPTIMIZER_FILE), dict), f"{path}: files")
    for name in (MODEL_FILE, OPTIMIZER_FILE):
        _require_fields(description["files"][name], {"bytes": int, "sha256": str}, f"{path}: files: {name}")
    for name, groups in description["optimizers"].items():
        if not isinstance(groups, list) or not all(map(_is_group, groups)):
            raise WeightsError(f"{path}: optimizers: {name} is not a list of parameter groups")
    return description


def _is_group(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("betas", []), list)


def _require_fields(value: object, types: Mapping[str, type], where: str) -> None:
    if not isinstance(value, dict):
        raise WeightsError(f"{where} is not a checkpoint's description: got {type(value).__name__}")
    wrong = [name for name, kind in types.items() if not isinstance(value.get(name), kind)]
    if wrong:
        raise WeightsError(f"{where} is not a checkpoint's description: missing or wrong: {', '.join(wrong)}")


def _read_bytes(path: Path, limit_bytes: int | None = None) -> bytes:
    try:
        if limit_bytes is not None and path.stat().st_size > limit_bytes:
            raise WeightsError(f"{path} has {path.stat().st_size:,} bytes, the limit is {limit_bytes:,}")
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from error


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
