"""Methods as MLflow models: graphs that load without unpickling, with the project's own checkpoint.

This module imports MLflow, which takes more than a second: import it only where a server is used.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow.pytorch
import numpy as np
import torch
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import Tensor, nn

from charmnet.errors import StorageError
from charmnet.methods import HarmonizationMethod
from charmnet.weights import save_checkpoint
from pipelines.runtime.redaction import redact
from pipelines.tracking.server import connect
from pipelines.tracking.tracker import Tracker

CHECKPOINT_FOLDER = "charmnet"
"""Folder of a logged model with the project's own checkpoint, from which its method is rebuilt exactly."""

_EXAMPLE_BATCH_SIZE = 2  # a batch of one would be exported as a fixed size


def log_model(
    tracker: Tracker,
    method: HarmonizationMethod,
    name: str,
    metrics: Mapping[str, float],
    *,
    metadata: Mapping[str, Any],
    registered_name: str | None = None,
    aliases: Sequence[str] = (),
) -> None:
    """Log a method, on the CPU, as a model of the tracker's run; it is sent in the background.

    Args:
        tracker: tracker of the run.
        method: method to log.
        name: such as `best` or `final`.
        metrics: validation figures of the model.
        metadata: stored beside the weights by `charmnet.weights.save_checkpoint`; its `step` is the model's.
        registered_name: registers the model as a new version under this name.
        aliases: aliases of the registered name, which then point to this version.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model")
        save_mlflow_model(method, folder, metadata)
        tracker.log_model_folder(
            folder,
            name=name,
            step=metadata["step"],
            metrics=metrics,
            registered_name=registered_name,
            aliases=aliases,
        )


def save_mlflow_model(
    method: HarmonizationMethod, folder: Path, metadata: Mapping[str, Any], image_size: int = 256
) -> None:
    """Write an MLflow model, which `mlflow.pytorch.load_model` loads as a module for any number of pairs.

    The module's inputs are those of `HarmonizationMethod.harmonize`, composite [B,3,S,S] and
    foreground mask [B,1,S,S], in the method's value range, as is its output, the harmonized image [B,3,S,S].

    Args:
        method: method to write.
        folder: folder to create.
        metadata: stored beside the weights by `charmnet.weights.save_checkpoint`.
        image_size: S, in pixels.
    """
    composite = torch.zeros(_EXAMPLE_BATCH_SIZE, 3, image_size, image_size)
    foreground_mask = torch.zeros(_EXAMPLE_BATCH_SIZE, 1, image_size, image_size)
    foreground_mask[:, :, image_size // 4 : image_size // 2, image_size // 4 : image_size // 2] = 1
    module = _HarmonizeModule(copy.deepcopy(method), composite, foreground_mask)
    mlflow.pytorch.save_model(
        # An exported file holds a weight whole only where it is contiguous.
        module.to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
        str(folder),
        signature=_signature(image_size),
        input_example=(composite.numpy(), foreground_mask.numpy()),
        pip_requirements=[
            f"torch=={torch.__version__.split('+')[0]}"
        ],  # else MLflow loads the model to find out
        serialization_format="pt2",
    )
    save_checkpoint(folder / CHECKPOINT_FOLDER, method, dict(metadata))


def resolve_model(uri: str, tracking_uri: str, folder: Path) -> Path:
    """Download a registered or logged model into a folder.

    Args:
        uri: `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `models:/ID`.
        tracking_uri: address of the server, with or without user and password.
        folder: folder to download to; created if it is missing.

    Returns:
        The folder of the project's own checkpoint in it, for `charmnet.weights.load_checkpoint`.

    Raises:
        StorageError: there is no such model, the server does not answer, or another program logged the model.
    """
    client = connect(tracking_uri)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        location = _artifact_location(client, uri)
        path = download_artifacts(location, dst_path=str(folder), tracking_uri=client.tracking_uri)
    except (MlflowException, OSError) as error:
        raise StorageError(
            f"{uri} cannot be fetched from {redact(tracking_uri)}: {redact(str(error))}"
        ) from error
    checkpoint = Path(path, CHECKPOINT_FOLDER)
    if not checkpoint.is_dir():
        raise StorageError(
            f"{uri} has no folder {CHECKPOINT_FOLDER}/: expected a model that charmnet train logged"
        )
    return checkpoint


def _artifact_location(client: MlflowClient, uri: str) -> str:
    """Return where a model lies; `download_artifacts` would ask the process's default server."""
    name, at, alias = uri.removeprefix("models:/").strip("/").partition("@")
    name, slash, version = name.partition("/")
    if at:
        version = client.get_model_version_by_alias(name, alias).version
    elif not slash:
        return client.get_logged_model(name).artifact_location
    return client.get_model_version_download_uri(name, version)


class _HarmonizeModule(nn.Module):
    """`HarmonizationMethod.harmonize` as a module that holds the networks which it calls."""

    def __init__(self, method: HarmonizationMethod, composite: Tensor, foreground_mask: Tensor) -> None:
        super().__init__()
        self._method = method
        self.networks = nn.ModuleDict(_called_networks(method, composite, foreground_mask))

    def forward(self, composite: Tensor, foreground_mask: Tensor) -> Tensor:
        return self._method.harmonize(composite, foreground_mask)


def _called_networks(
    method: HarmonizationMethod, composite: Tensor, foreground_mask: Tensor
) -> dict[str, nn.Module]:
    """Return the networks that take part in `harmonize`, without discriminators and the like."""
    called: set[str] = set()
    hooks = [
        part.register_forward_pre_hook(lambda *_, name=name: called.add(name))
        for name, network in method.modules.items()
        for part in network.modules()
    ]
    try:
        method.harmonize(composite, foreground_mask)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: network for name, network in method.modules.items() if name in called}


def _signature(image_size: int) -> ModelSignature:
    def image(name: str, channels: int) -> TensorSpec:
        return TensorSpec(np.dtype(np.float32), (-1, channels, image_size, image_size), name)

    inputs = Schema([image("composite", 3), image("foreground_mask", 1)])
    return ModelSignature(inputs, Schema([image("harmonized", 3)]))
