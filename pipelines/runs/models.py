"""Loading of models by what users call them: one of the package, a run, a checkpoint, released files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from charmnet.errors import StorageError, WeightsError
from charmnet.methods import (
    METHODS,
    CharmNetMethod,
    CUTMethod,
    HarmonizationMethod,
    Method,
    TranslationMethod,
)
from charmnet.methods.charmnet_networks import RELEASED_NAMES
from charmnet.methods.dovenet import RegionAdversarialMethod
from charmnet.pretrained import load_pretrained
from charmnet.released_weights import load_released, method_of_one_network, read_pth
from charmnet.weights import CHECKPOINT_FILE, load_checkpoint
from pipelines.runs.provenance import Provenance
from pipelines.runs.run_folder import BEST_FILE
from pipelines.runtime.storage import Location
from pipelines.runtime.user_files import is_litter

_PACKAGE_SCHEME = "charmnet://"
_REGISTRY_SCHEME = "models:/"
_PTH_SUFFIX = ".pth"
_RELEASED_SUFFIX = f"_net_G{_PTH_SUFFIX}"


def load_model(uri: str, tracking_uri: str | None = None, inference_only: bool = False) -> Method:
    """Return the method that `uri` names, on the CPU.

    Args:
        uri: `charmnet://NAME`, a model that the package ships, a training run's folder (its best checkpoint,
            else its latest), a checkpoint's folder, `models:/NAME/VERSION` and its like, a folder with
            released `*_net_{G,D,SC1,SC2}.pth`, what stands before `_net_G.pth`, or another `.pth` file with
            the weights of another method's network, which its entries' names tell.
        tracking_uri: the server that knows `models:/`; by default the one that training uses.
        inference_only: read only G of released files, which is all that harmonizing needs.

    Raises:
        StorageError: there is no such path, or no model in it.
        WeightsError: what is there is broken or does not fit.
        ValueError: a `models:/` URI without a server, or a model that the package does not ship.
    """
    return _load(uri, tracking_uri, inference_only)[0]


def _load(uri: str, tracking_uri: str | None, inference_only: bool) -> tuple[Method, Provenance]:
    with tempfile.TemporaryDirectory() as temporary:
        try:
            return _loaded(uri, tracking_uri, Path(temporary), inference_only)
        except WeightsError as error:
            message = str(error)
            if temporary in message:  # copies are named by what they are of
                message = f"{uri}: {message.replace(f'{temporary}/', '')}"
            raise WeightsError(message) from error


def _loaded(
    uri: str, tracking_uri: str | None, folder: Path, inference_only: bool
) -> tuple[Method, Provenance]:
    """`load_model` with a local folder for what has to be fetched, and what is known of the training."""
    if uri.startswith(_PACKAGE_SCHEME):
        return load_pretrained(uri.removeprefix(_PACKAGE_SCHEME).strip("/")), Provenance()
    if uri.startswith(_REGISTRY_SCHEME):
        # MLflow and what else tracking needs are loaded for registered models alone.
        from pipelines.tracking.logged_models import resolve_model
        from pipelines.tracking.server import default_tracking_uri

        method, metadata = load_checkpoint(resolve_model(uri, tracking_uri or default_tracking_uri(), folder))
        is_version = "/" in model_name(uri) or "@" in uri  # a bare id may be the last model
        return method, Provenance.of(method, metadata, is_version=is_version)
    path = Location.of(uri)
    if path.name.endswith(_PTH_SUFFIX) and not path.name.endswith(_RELEASED_SUFFIX):
        return _released_network(path, folder), Provenance()
    released = _released_prefix(path)
    if released is not None:
        return _released_method(released, folder, inference_only), Provenance()
    checkpoint = checkpoint_of(uri)
    if checkpoint.local_path is None:
        checkpoint.download_folder(folder)
    method, metadata = load_checkpoint(checkpoint.local_path or folder)
    return method, Provenance.of(method, metadata, checkpoint)


def load_harmonization_model(uri: str, tracking_uri: str | None = None) -> HarmonizationMethod:
    """Return the method that `uri` names, for harmonizing alone; arguments and errors are `load_model`'s.

    Raises:
        ValueError: the model translates between domains and does not harmonize.
    """
    return load_with_provenance(uri, tracking_uri)[0]


def load_translation_model(uri: str, tracking_uri: str | None = None) -> TranslationMethod:
    """Return the method that `uri` names, for translating; arguments and errors are `load_model`'s.

    Raises:
        ValueError: the model harmonizes and does not translate.
    """
    method = load_model(uri, tracking_uri, inference_only=True)
    if not isinstance(method, TranslationMethod):
        translators = [name for name, kind in METHODS.items() if issubclass(kind, TranslationMethod)]
        raise ValueError(
            f"{uri}: a model of {method.name}, which does not translate; expected one of "
            f"{', '.join(translators)}"
        )
    return method


def load_with_provenance(uri: str, tracking_uri: str | None = None) -> tuple[HarmonizationMethod, Provenance]:
    """Return what `load_harmonization_model` does, and what is known of the model's training."""
    method, provenance = _load(uri, tracking_uri, inference_only=True)
    if not isinstance(method, HarmonizationMethod):
        raise ValueError(f"{uri}: a model of {method.name}, which does not harmonize; choose another model")
    return method, provenance


def model_name(uri: str) -> str:
    """Return the name of a model: NAME/VERSION where it is registered, else the last part of its URI."""
    registered = uri.startswith(_REGISTRY_SCHEME)
    return uri.removeprefix(_REGISTRY_SCHEME).strip("/") if registered else Location.of(uri).name


def absolute_uri(uri: str) -> str:
    """Return the URI of a model as other processes and later runs find it."""
    named = uri.startswith((_PACKAGE_SCHEME, _REGISTRY_SCHEME))
    return uri if named else str(Location.of(uri))


def checkpoint_of(uri: str) -> Location:
    """Return a checkpoint's folder: `uri` itself, a run's best, else the one of the latest step beneath.

    Raises:
        StorageError: there is none.
    """
    path = Location.of(uri)
    if (path / CHECKPOINT_FILE).exists():
        return path
    if (path / BEST_FILE).exists():
        return _best_of(path)
    suffix = f"/{CHECKPOINT_FILE}"
    found = [path.removesuffix(suffix) for path in path.walk_files() if path.endswith(suffix)]
    if not found:
        raise StorageError(
            f"{path}: no model there; expected a training run's folder, a checkpoint with its "
            f"{CHECKPOINT_FILE}, or released files *{_RELEASED_SUFFIX}"
        )
    return path / max(found, key=lambda path: (path.rpartition("/")[2], path))  # names end in the step


def _best_of(run_folder: Location) -> Location:
    best = run_folder / BEST_FILE
    value = best.read_json()
    name = value.get("checkpoint") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        raise StorageError(f"{best}: names no checkpoint; expected one as `charmnet train` writes it")
    return run_folder / name


def _released_prefix(path: Location) -> Location | None:
    """Return the path before `_net_G.pth`, if there is one: of a folder, that file or its prefix."""
    if path.name.endswith(_RELEASED_SUFFIX):
        return Location(path.uri.removesuffix(_RELEASED_SUFFIX))
    if Location(f"{path.uri}{_RELEASED_SUFFIX}").exists():
        return path
    epochs = [
        child.name.removesuffix(_RELEASED_SUFFIX)
        for child in path.children()
        if child.name.endswith(_RELEASED_SUFFIX) and not is_litter(child.name)
    ]
    if len(epochs) > 1 and "latest" not in epochs:
        raise StorageError(
            f"{path} holds released weights of epochs {', '.join(epochs)}; add one: {path}/{epochs[-1]}"
        )
    if not epochs:
        return None
    return path / ("latest" if "latest" in epochs else epochs[0])


def _released_network(path: Location, folder: Path) -> Method:
    state = read_pth(_fetched(path, folder))
    method = method_of_one_network(state, str(path))
    if method is None:
        raise WeightsError(
            f"{path}: not the released layout of a method's network: {len(state)} entries beginning with "
            f"{list(state)[:3]}"
        )
    return method


def _released_method(prefix: Location, folder: Path, inference_only: bool) -> Method:
    """Return CharmNet of its files, or the method that G is of, with the networks that lie beside G."""

    def path_of(name: str) -> Location:
        return Location(f"{prefix.uri}_net_{name}{_PTH_SUFFIX}")

    source = str(path_of("G"))
    state = read_pth(_fetched(path_of("G"), folder))
    method = method_of_one_network(state, source)
    if method is None and inference_only:
        return CharmNetMethod.from_released_generator(state, source)
    if method is None:
        paths = {name: _fetched(path_of(name), folder) for name in RELEASED_NAMES}
        return CharmNetMethod.from_released(load_released(paths))
    if inference_only or not isinstance(method, RegionAdversarialMethod | CUTMethod):
        return method
    beside = {name: path_of(name) for name in method.released_networks if name != "G"}
    present = {name: path for name, path in beside.items() if path.exists()}
    states = {"G": state} | {name: read_pth(_fetched(path, folder)) for name, path in present.items()}
    sources = {"G": source} | {name: str(path) for name, path in present.items()}
    return type(method).from_released(states, sources=sources)


def _fetched(path: Location, folder: Path) -> Path:
    """Return the file on this machine: itself, or a copy in the folder."""
    local = path.local_path
    if local is None:
        local = folder / path.name
        local.write_bytes(path.read_bytes())
    return local
