"""From what a user calls a model to a method: a run, a checkpoint, a registered model, released files."""

from __future__ import annotations

import tempfile
from pathlib import Path

from charmnet.errors import StorageError, WeightsError
from charmnet.methods import CharmNetMethod, HarmonizationMethod, IDIHMethod, Method
from charmnet.methods.charmnet_networks import RELEASED_NAMES
from charmnet.released_weights import load_released, read_pth
from charmnet.weights import CHECKPOINT_FILE, load_checkpoint
from pipelines.runs.run_folder import BEST_FILE
from pipelines.runtime.storage import Location
from pipelines.tracking.server import default_tracking_uri

_REGISTRY_SCHEME = "models:/"
_PTH_SUFFIX = ".pth"
_RELEASED_SUFFIX = f"_net_G{_PTH_SUFFIX}"


def load_model(uri: str, tracking_uri: str | None = None, inference_only: bool = False) -> Method:
    """Return the method that `uri` names, on the CPU.

    Args:
        uri: a training run's folder (its best checkpoint, else its latest), a checkpoint's folder,
            `models:/NAME/VERSION` and its like, a folder with released `*_net_{G,D,SC1,SC2}.pth`, what
            stands before `_net_G.pth`, or another `.pth` file, which holds iDIH's weights.
        tracking_uri: the server that knows `models:/`; by default the one that training uses.
        inference_only: read only G of CharmNet's released files, which is all that harmonizing needs.

    Raises:
        StorageError: there is no such place, or no model in it.
        WeightsError: what is there is broken or does not fit.
        ValueError: a `models:/` URI without a server.
    """
    with tempfile.TemporaryDirectory() as temporary:
        try:
            return _loaded(uri, tracking_uri or default_tracking_uri(), Path(temporary), inference_only)
        except WeightsError as error:
            told = str(error)
            if temporary in told:  # copies are named by what they are of
                told = f"{uri}: {told.replace(f'{temporary}/', '')}"
            raise WeightsError(told) from error


def _loaded(uri: str, tracking_uri: str, folder: Path, inference_only: bool) -> Method:
    """`load_model` with a local folder for what has to be fetched."""
    if uri.startswith(_REGISTRY_SCHEME):
        from pipelines.tracking.logged_models import resolve_model  # loads MLflow: only for registered models

        return load_checkpoint(resolve_model(uri, tracking_uri, folder))[0]
    place = Location.of(uri)
    if place.name.endswith(_PTH_SUFFIX) and not place.name.endswith(_RELEASED_SUFFIX):
        return IDIHMethod.from_released(read_pth(_fetched(place, folder)), source=str(place))
    released = _released_prefix(place)
    if released is not None:
        return _released_charmnet(released, folder, inference_only)
    checkpoint = checkpoint_of(uri)
    if checkpoint.local_path is None:
        checkpoint.download_folder(folder)
    return load_checkpoint(checkpoint.local_path or folder)[0]


def load_harmonization_model(uri: str, tracking_uri: str | None = None) -> HarmonizationMethod:
    """Return the method that `uri` names, for harmonizing alone; arguments and errors are `load_model`'s.

    Raises:
        ValueError: the model translates between domains and does not harmonize.
    """
    method = load_model(uri, tracking_uri, inference_only=True)
    if not isinstance(method, HarmonizationMethod):
        raise ValueError(f"{uri}: a model of {method.name}, which does not harmonize; choose another model")
    return method


def model_name(uri: str) -> str:
    """What to call the model that `uri` names: NAME/VERSION where it is registered, else its last part."""
    registered = uri.startswith(_REGISTRY_SCHEME)
    return uri.removeprefix(_REGISTRY_SCHEME).strip("/") if registered else Location.of(uri).name


def checkpoint_of(uri: str) -> Location:
    """The folder of a checkpoint: `uri` itself, a run's best, else the one of the latest step beneath.

    Raises:
        StorageError: there is none.
    """
    place = Location.of(uri)
    if (place / CHECKPOINT_FILE).exists():
        return place
    if (place / BEST_FILE).exists():
        return _best_of(place)
    suffix = f"/{CHECKPOINT_FILE}"
    found = [path.removesuffix(suffix) for path in place.walk_files() if path.endswith(suffix)]
    if not found:
        raise StorageError(
            f"{place}: no model there; expected a training run's folder, a checkpoint with its "
            f"{CHECKPOINT_FILE}, or released files *{_RELEASED_SUFFIX}"
        )
    return place / max(found, key=lambda path: (path.rpartition("/")[2], path))  # names end in the step


def _best_of(run_folder: Location) -> Location:
    best = run_folder / BEST_FILE
    value = best.read_json()
    name = value.get("checkpoint") if isinstance(value, dict) else None
    if not isinstance(name, str) or not name:
        raise StorageError(f"{best}: names no checkpoint; expected one as `charmnet train` writes it")
    return run_folder / name


def _released_prefix(place: Location) -> Location | None:
    """What stands before `_net_G.pth`, if `place` is a folder with such a file, that file or its prefix."""
    if place.name.endswith(_RELEASED_SUFFIX):
        return Location(place.uri.removesuffix(_RELEASED_SUFFIX))
    if Location(f"{place.uri}{_RELEASED_SUFFIX}").exists():
        return place
    epochs = [
        child.name.removesuffix(_RELEASED_SUFFIX)
        for child in place.children()
        if child.name.endswith(_RELEASED_SUFFIX)
    ]
    if len(epochs) > 1 and "latest" not in epochs:
        raise StorageError(
            f"{place} holds released weights of epochs {', '.join(epochs)}; add one: {place}/{epochs[-1]}"
        )
    if not epochs:
        return None
    return place / ("latest" if "latest" in epochs else epochs[0])


def _released_charmnet(prefix: Location, folder: Path, inference_only: bool) -> CharmNetMethod:
    places = {name: Location(f"{prefix.uri}_net_{name}{_PTH_SUFFIX}") for name in RELEASED_NAMES}
    if inference_only:
        state = read_pth(_fetched(places["G"], folder))
        return CharmNetMethod.from_released_generator(state, str(places["G"]))
    return CharmNetMethod.from_released(
        load_released({name: _fetched(place, folder) for name, place in places.items()})
    )


def _fetched(place: Location, folder: Path) -> Path:
    """The file on this machine: itself, or a copy in the folder."""
    local = place.local_path
    if local is None:
        local = folder / place.name
        local.write_bytes(place.read_bytes())
    return local
