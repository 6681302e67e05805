"""A study as a TOML file: rows, how long each is trained, and at which size."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from charmnet.methods import method_class
from charmnet.options import Flag, Options
from pipelines.runtime.storage import Location

Strategy = Literal["real", "rendered", "two-stage", "fusion", "translate", "both"]
"""What a row is trained on: real composites; rendered ones; rendered, then real ones; the union of both as
one stream; the union of real and translated ones; or a batch of each domain in every step."""

RENDERED_STRATEGIES = frozenset({"rendered", "two-stage", "fusion", "translate", "both"})
"""Strategies that need a rendered data set."""

_SUFFIX = ".toml"
_INHERITED = {"base": (), "settings_of": ("budgets", "scales", "heads")}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")


class Settings(Options):
    """Fields of a training configuration, for all methods and for single ones.

    Beside fields of `TrainConfig` and options of the method there are `samples`, how many samples of the
    row's real selection it sees, and `epochs`, how often it sees its own data; the later one wins.
    """

    all: dict[str, Any] = Field(default_factory=dict)
    """Fields for every method."""
    methods: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Fields by method, which win."""

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Settings:
        """Return the settings of a TOML table: fields, and a table `methods` of further ones."""
        return cls(
            all={name: value for name, value in table.items() if name != "methods"},
            methods=table.get("methods", {}),
        )

    def of_method(self, method: str) -> dict[str, Any]:
        """Return the fields for a method."""
        return {**self.all, **self.methods.get(method, {})}


class Row(Options):
    """One row of a table: how it is trained."""

    label: str
    """Text that stands in the tables."""
    method: str
    """Method that harmonizes."""
    strategy: Strategy = "real"
    """What it is trained on."""
    real: Literal["base", "novel", "all"] = "base"
    """Categories of the real composites that it is trained on."""
    limit: Literal["none", "novel"] = "none"
    """With novel, train on as many samples as there are of the novel category in the real training split."""
    translator: str | None = None
    """Method that translates rendered pictures, with strategy translate."""
    table: int = Field(2, ge=1)
    """Number of the table that it stands in."""
    apart: Flag = False
    """Set the row apart in its table, as an upper bound."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Fields of the configuration that are the row's own."""
    published: dict[str, dict[str, float]] = Field(default_factory=dict)
    """Figures of a publication by test set, such as {novel = {fmse = 500.0}}."""

    @model_validator(mode="after")
    def _check_strategy(self) -> Self:
        if (self.strategy == "translate") != (self.translator is not None):
            raise ValueError(
                f"translator={self.translator} with strategy={self.strategy}: strategy=translate names a "
                "translator, and the others none"
            )
        return self

    @property
    def method_names(self) -> list[str]:
        """Methods that are trained for the row."""
        return [self.method, *([self.translator] if self.translator else [])]


class Study(Options):
    """A comparison of rows by the errors on test sets."""

    title: str
    """Heading of the page."""
    reference: str
    """Row that the others are compared with."""
    budgets: dict[str, Settings]
    """Lengths, batches and schedules by name: `--budget`."""
    scales: dict[str, Settings]
    """Sizes of networks by name: `--scale`."""
    heads: dict[str, Settings]
    """Fields of methods that have the option `head`, by its values: `--head`."""
    tables: dict[str, str]
    """Captions by the tables' numbers."""
    rows: dict[str, Row]
    """Rows by name; their order is that of the tables."""

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        wrong = [name for name in self.rows if not _NAME.fullmatch(name)]
        if wrong or not self.rows:
            raise ValueError(
                f"names of rows: {', '.join(wrong) or 'none'}; expected small letters, digits and hyphens, "
                "since runs are named after them"
            )
        if self.reference not in self.rows:
            raise ValueError(f"reference={self.reference}: expected a row, one of {', '.join(self.rows)}")
        missing = sorted({str(row.table) for row in self.rows.values()} - set(self.tables))
        if missing:
            raise ValueError(f"tables: rows stand in {', '.join(missing)}, which has no caption there")
        return self

    def only(self, names: tuple[str, ...]) -> Study:
        """Return the study with these rows alone, in its own order; none is all.

        Raises:
            ValueError: there is no row of a name; lists those that there are.
        """
        unknown = [name for name in names if name not in self.rows]
        if unknown:
            raise ValueError(f"--only {','.join(unknown)}: no such row; there are {', '.join(self.rows)}")
        rows = {name: row for name, row in self.rows.items() if not names or name in names}
        reference = self.reference if self.reference in rows else next(iter(rows))
        return self.replaced(rows=rows, reference=reference)

    def has_head(self, row: Row) -> bool:
        """Return whether a row's method has the option `head`, once the method is known."""
        return "head" in method_class(row.method).Options.model_fields


def study_names() -> list[str]:
    """Return the names of the studies that are shipped."""
    files = (resources.files(__package__) / "studies").iterdir()
    return sorted(file.name.removesuffix(_SUFFIX) for file in files if file.name.endswith(_SUFFIX))


def load_study(name: str) -> Study:
    """Return a study by its name, or from a file that ends in .toml.

    Raises:
        ValueError: there is no such study, or the file is none; names the field that is wrong.
        StorageError: the file cannot be read.
    """
    if name.endswith(_SUFFIX):
        data = Location.of(name).read_bytes()
        return parse_study(data.decode(errors="replace"), name, Path(name).stem)
    if name not in study_names():
        raise ValueError(
            f"study {name}: expected one of {', '.join(study_names())}, or a file that ends in {_SUFFIX}"
        )
    return parse_study(_shipped(name), f"study {name}", name)


def _shipped(name: str) -> str:
    """Return the text of a study that is shipped."""
    return (resources.files(__package__) / "studies" / f"{name}{_SUFFIX}").read_text()


def parse_study(text: str, source: str, name: str) -> Study:
    """Return the study of a TOML text.

    A text with `base = "poster"` has all that the study of this name has, and what it says itself wins: a row
    of one's own is its table alone. With `settings_of = "poster"` it has the budgets, scales and heads.

    Args:
        text: TOML.
        source: file or study, for messages.
        name: title where the text has none.

    Raises:
        ValueError: it is no study; names the field that is wrong.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source}: not TOML: {error}") from error
    try:
        return Study(**{"title": name, **_parsed(_with_base(values))})
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error


def _with_base(values: dict[str, Any]) -> dict[str, Any]:
    for field, tables in _INHERITED.items():
        name = values.pop(field, None)
        if name is None:
            continue
        if name not in study_names():
            raise ValueError(f"{field}={name}: expected one of {', '.join(study_names())}")
        inherited = _with_base(tomllib.loads(_shipped(name)))
        values = _merged({key: inherited[key] for key in tables or inherited}, values)
    return values


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    both = {
        name: _merged(base[name], own[name]) for name in base.keys() & own.keys() if _tables(base, own, name)
    }
    return {**base, **own, **both}


def _tables(base: dict[str, Any], own: dict[str, Any], name: str) -> bool:
    return isinstance(base[name], dict) and isinstance(own[name], dict)


def _parsed(values: dict[str, Any]) -> dict[str, Any]:
    """Make records of the tables in a study's TOML."""
    tables = {name: values.get(name, {}) for name in ("budgets", "scales", "heads", "rows")}
    wrong = [
        name
        for name, table in tables.items()
        if not isinstance(table, dict) or not all(isinstance(value, dict) for value in table.values())
    ]
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: expected tables, such as [{wrong[0]}.NAME]")
    settings = {
        name: {key: Settings.of(value) for key, value in tables[name].items()}
        for name in ("budgets", "scales", "heads")
    }
    return {**values, **settings, "rows": {name: _row(name, row) for name, row in tables["rows"].items()}}


def _row(name: str, values: dict[str, Any]) -> Row:
    try:
        return Row(**values)
    except ValueError as error:
        raise ValueError(f"rows.{name}: {error}") from error
