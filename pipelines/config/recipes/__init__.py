"""Configurations as TOML files: recipes that are shipped here, and files of one's own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources

import tomli_w

from pipelines.config.train_config import TrainConfig

_SUFFIX = ".toml"


def recipe_names() -> list[str]:
    """Return the names of the recipes that are shipped."""
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX))


def recipe(name: str) -> TrainConfig:
    """Return a shipped configuration by its name.

    Raises:
        ValueError: there is no such recipe; lists those that there are.
    """
    if name not in recipe_names():
        raise ValueError(f"--recipe {name}: expected one of {', '.join(recipe_names())}")
    text = (resources.files(__name__) / f"{name}{_SUFFIX}").read_text()
    return parse_toml(text, f"recipe {name}")[0]


def parse_toml(text: str, source: str) -> tuple[TrainConfig, dict[str, list[str]]]:
    """Return a configuration, and the URIs of its data sets by domain where its table [data] names them.

    Args:
        text: fields of `TrainConfig`, options of the method in a table [method].
        source: file or recipe, for messages.

    Raises:
        ValueError: it is not TOML, or a field or value is wrong; names it.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source}: not TOML: {error}") from error
    data = values.pop("data", {})
    unknown = sorted(set(data) - {"real", "rendered"}) if isinstance(data, dict) else ["data"]
    uris = (
        {}
        if unknown
        else {name: [value] if isinstance(value, str) else value for name, value in data.items()}
    )
    if unknown or not all(_is_list_of_texts(value) for value in uris.values()):
        raise ValueError(
            f"{source}: [data] holds {', '.join(unknown) or 'no text'}, expected real and rendered"
        )
    try:
        return TrainConfig.from_json(values), uris
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def to_toml(config: TrainConfig, data: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return the file that repeats a configuration, which `parse_toml` reads.

    Args:
        config: all of its fields are written, but those that are none.
        data: URIs of data sets by domain.
    """
    values = config.model_dump(mode="json", exclude_none=True)
    method = values.pop("method")
    tables = {"method": method} | (
        {"data": {name: list(uris) for name, uris in data.items()}} if data else {}
    )
    return tomli_w.dumps({**values, **tables})
