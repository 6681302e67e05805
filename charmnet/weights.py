"""Checkpoints: a method with its networks and optimizers in a folder, read strictly.

A checkpoint is a folder: `model.safetensors` (all networks), `optimizer.safetensors` (the tensors of the
optimizers' states), where there are such `average.safetensors` (the moving average of the networks) and
`state.safetensors` (what a method keeps beside both, for each worker), and `checkpoint.json` (the method and
its options, the optimizers' other values, metadata, and the size and SHA-256 of the other files). Nothing is
pickled, and it comes back to the bit. What loads a model to apply it gets the average where there is one.

A model that is only to be applied, or to start another training, needs no optimizers: `save_model` writes
`model.safetensors` and `checkpoint.json` alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from charmnet.averaging import WeightAverage, method_state
from charmnet.errors import WeightsError
from charmnet.methods import METHODS, Method, build_method

MODEL_FILE = "model.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"
AVERAGE_FILE = "average.safetensors"
STATE_FILE = "state.safetensors"
CHECKPOINT_FILE = "checkpoint.json"
FORMAT = 1
MAX_DESCRIPTION_BYTES = 16 << 20
_FIELDS = {"format": int, "method": str, "options": dict, "optimizers": dict, "metadata": dict, "files": dict}


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


def snapshot(
    method: Method,
    metadata: Mapping[str, Any],
    into: Snapshot | None = None,
    *,
    average: WeightAverage | None = None,
    worker_states: Sequence[Mapping[str, Tensor]] = (),
) -> Snapshot:
    """Copy a method's networks and optimizers, which may go on changing.

    Args:
        method: the method to copy.
        metadata: values to keep with it (step, seed, configuration), of types that JSON can hold.
        into: a snapshot of the same method that is no longer needed; its memory is used again, which is
            several times faster.
        average: moving average of the networks, which is kept beside them.
        worker_states: extra state of each worker, by rank.
    """
    optimizer_tensors, groups = _split_optimizers(method)
    files = {MODEL_FILE: method_state(method), OPTIMIZER_FILE: optimizer_tensors}
    if average is not None:
        files[AVERAGE_FILE] = average.state()
    if any(worker_states):
        states = enumerate(worker_states)
        files[STATE_FILE] = {f"{rank}.{key}": t for rank, state in states for key, t in state.items()}
    before = into.tensors if into else {}
    copies = {name: _copy_to_cpu(tensors, before.get(name, {})) for name, tensors in files.items()}
    return Snapshot(_description(method, groups, metadata), copies)


def save_checkpoint(folder: Path, method: Method, metadata: Mapping[str, Any]) -> None:
    """Write a checkpoint: the method, its networks and its optimisers.

    Args:
        folder: created if need be; files of the same names are overwritten.
        method: the method to save.
        metadata: see `snapshot`.
    """
    _write(folder, snapshot(method, metadata))


def save_model(folder: Path, method: Method, metadata: Mapping[str, Any]) -> None:
    """Write a model without optimizers, to be applied or started from; arguments are `save_checkpoint`'s."""
    networks = _copy_to_cpu(method_state(method), {})
    _write(folder, Snapshot(_description(method, {}, metadata), {MODEL_FILE: networks}))


def _write(folder: Path, state: Snapshot) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in state.files():
        (folder / name).write_bytes(data)


def _description(
    method: Method, optimizers: Mapping[str, list[dict[str, Any]]], metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a snapshot's description, with the optimizers' parameter groups."""
    return {
        "format": FORMAT,
        "method": method.name,
        "options": method.arguments,
        "optimizers": optimizers,
        "metadata": dict(metadata),
    }


def weights_digest(method: Method) -> str:
    """Return the SHA-256 (hex) of all weights of a method's networks, whatever file they came from."""
    digest = hashlib.sha256()
    for name, module in sorted(method.modules.items()):
        for key, tensor in module.state_dict().items():
            digest.update(f"{name}.{key}".encode())
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def load_checkpoint(folder: Path, device: torch.device | str = "cpu") -> tuple[Method, dict[str, Any]]:
    """Rebuild a method on a device as it was saved; return it and the metadata.

    Optimizers that were not saved are fresh.

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
    model_file = AVERAGE_FILE if AVERAGE_FILE in description["files"] else MODEL_FILE
    return method, _load(folder, description, method, model_file)


def load_into(
    folder: Path, method: Method, *, average: WeightAverage | None = None, worker: int = 0
) -> dict[str, Any]:
    """Give a method, and its average, the state of a checkpoint to go on from; return the metadata.

    Args:
        folder: folder of the checkpoint.
        method: method of the checkpoint's kind.
        average: average of its weights; a checkpoint without one starts it anew from the weights.
        worker: rank whose extra state the method gets; ranks that the checkpoint lacks share those it has.

    Raises:
        WeightsError: a file is missing, torn or changed since, or does not fit; names it and the reason.
    """
    description = _read_description(folder)
    if description["method"] != method.name:
        raise WeightsError(f"{folder} is a checkpoint of {description['method']}, not of {method.name}")
    files = description["files"]
    if OPTIMIZER_FILE not in files:
        raise WeightsError(
            f"{folder} is a model without optimizers, expected a checkpoint to go on from; a new run can "
            f"start with its weights: --init {folder}"
        )
    metadata = _load(folder, description, method, MODEL_FILE)
    try:
        if average is not None:
            name = AVERAGE_FILE if AVERAGE_FILE in files else MODEL_FILE
            average.load_state(_read_tensors(folder, name, description))
        if STATE_FILE in files:
            method.load_extra_state(_state_of(worker, _read_tensors(folder, STATE_FILE, description)))
    except WeightsError as error:
        raise WeightsError(f"{folder}: {error}") from error
    return metadata


def _state_of(worker: int, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a worker's extra state out of all workers' by `rank.key`."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        rank, _, name = key.partition(".")
        states.setdefault(int(rank), {})[name] = tensor
    return states[sorted(states)[worker % len(states)]]


def _load(folder: Path, description: Mapping[str, Any], method: Method, model_file: str) -> dict[str, Any]:
    model = _read_tensors(folder, model_file, description)
    modules: dict[str, dict[str, Tensor]] = {}
    for key, tensor in model.items():
        module, _, name = key.partition(".")
        modules.setdefault(module, {})[name] = tensor
    if modules.keys() - method.modules.keys():
        raise WeightsError(f"{folder / model_file}: unexpected networks {sorted(modules)}")
    state: dict[str, Any] = {"modules": modules}
    if OPTIMIZER_FILE in description["files"]:
        tensors = _read_tensors(folder, OPTIMIZER_FILE, description)
        state["optimizers"] = _join_optimizers(tensors, description["optimizers"])
    try:
        method.load_state_dict(state)
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
    required = (MODEL_FILE, OPTIMIZER_FILE) if description["optimizers"] else (MODEL_FILE,)
    _require_fields(description["files"], dict.fromkeys(required, dict), f"{path}: files")
    for name in description["files"]:
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
