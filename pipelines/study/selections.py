"""Parts of the data sets that a study trains on and reports, by category and split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from charmnet.errors import DataError
from charmnet.vocabulary import Domain
from pipelines.evaluation.photographs import photograph_of
from pipelines.ingest.samples import id_columns, sample_ids
from pipelines.shards.foreground_colors import colors_of
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import Dataset, selected_counts
from pipelines.shards.schema import RowKind
from pipelines.shards.selection import Selection

BASE, NOVEL = "base", "novel"
TEST_SETS = (NOVEL, BASE)
"""Test sets, in the order of the tables' columns."""

PARTS = (BASE, NOVEL, "all")
"""Parts of the categories that a row may be trained on."""

_TRAIN, _VALIDATION, _TEST = "train", "validation", "test"
_NAMED = 5


@dataclass(frozen=True)
class RealData:
    """The real data set of a study.

    Splits are those whose names end in train, validation and test. Categories are the data's own; where it
    has none of the name, those that the splits' names have, as in IHD_human_train and IHD_nonhuman_train.

    Attributes:
        dataset: the data set.
        novel: the novel category.

    Raises:
        ValueError: on construction, if the data lack the category, or a split of training or of test.
    """

    dataset: Dataset
    novel: str

    def __post_init__(self) -> None:
        for split in (_TRAIN, _TEST):
            if not self._splits(split):
                raise ValueError(
                    f"{self._uri}: no split whose name ends in {split}; it has {', '.join(self._all_splits)}"
                )
        categories = [name for name in self._totals["category"] if name != "(none)"]
        if self.novel not in categories and not self._split_of(self.novel, _TEST):
            raise ValueError(
                f"--novel {self.novel}: {self._uri} has no such category; it has "
                f"{', '.join(categories) or 'none'} (nor a split such as IHD_{self.novel}_test)"
            )
        for part in (BASE, NOVEL):
            for split in (_TRAIN, _TEST):
                if not count_samples(self.dataset.manifest, self.select(part, split)):
                    raise ValueError(
                        f"--novel {self.novel}: {self._uri} has no sample of the {part} categories in the "
                        f"split of {split}; it has {self.dataset.manifest.selectable_names()}"
                    )

    @property
    def _uri(self) -> str:
        return f"--real {self.dataset.location}"

    @cached_property
    def _totals(self) -> dict[str, dict[str, int]]:
        return self.dataset.manifest.totals()

    @property
    def _all_splits(self) -> list[str]:
        return list(self._totals["split"])

    @property
    def _by_category(self) -> bool:
        return self.novel in self._totals["category"]

    def _splits(self, ending: str) -> list[str]:
        return [name for name in self._all_splits if name.lower().endswith(ending)]

    def _split_of(self, category: str, ending: str) -> list[str]:
        return [name for name in self._splits(ending) if category.lower() in name.lower().split("_")]

    def select(self, part: str, split: str) -> str:
        """Return the selection of base, novel or all categories in train, validation or test."""
        if self._by_category:
            condition = {BASE: f"category != {self.novel!r}", NOVEL: f"category == {self.novel!r}"}.get(part)
            chosen = _in(self._splits(split))
            return f"{chosen} and {condition}" if condition else chosen
        names = {BASE: [f"non{self.novel}"], NOVEL: [self.novel]}.get(part, [f"non{self.novel}", self.novel])
        return _in([name for category in names for name in self._split_of(category, split)])

    @property
    def validation_splits(self) -> tuple[str, ...]:
        """Splits of validation; none where the data set has none."""
        return tuple(self._splits(_VALIDATION))

    def part_of(self, category: str | None, splits: Iterable[str]) -> str:
        """Return whether a picture of the test split is of the base or of the novel categories."""
        if self._by_category:
            return NOVEL if category == self.novel else BASE
        return NOVEL if set(splits) & set(self._split_of(self.novel, _TEST)) else BASE

    def check_apart(self) -> None:
        """Check that no photograph is trained or validated on and tested on.

        Raises:
            DataError: some are; names them.
            StorageError: the shards' names cannot be read.
        """
        tested = self._photographs(_TEST)
        for split in (_TRAIN, _VALIDATION):
            shared = sorted(tested & self._photographs(split)) if self._splits(split) else []
            if shared:
                more = f" and {len(shared) - _NAMED} more" if len(shared) > _NAMED else ""
                raise DataError(
                    f"{self._uri}: {len(shared)} photographs are in a split of {split} and in one of test: "
                    f"{', '.join(shared[:_NAMED])}{more}; figures on them would be too good: make lists that "
                    "share no photograph, and shard the data again"
                )

    def _photographs(self, split: str) -> set[str]:
        identities = _ids(self.dataset, Selection(_in(self._splits(split))))
        if self.dataset.manifest.kind is RowKind.PHOTOGRAPH:
            return set(map(colors_of(self.dataset).photograph, identities))
        return {photograph_of(identity, Domain.REAL) for identity in identities}


def rendered_selection(dataset: Dataset, novel: str) -> str:
    """Return the selection of a rendered data set's scenes of the novel category.

    Raises:
        ValueError: it has none, or is not of the rendered domain.
    """
    manifest = dataset.manifest
    if manifest.domain is not Domain.RENDERED:
        raise ValueError(f"--rendered {dataset.location}: holds the {manifest.domain} domain")
    categories = manifest.totals()["category"]
    if novel not in categories:
        raise ValueError(
            f"--rendered {dataset.location}: has no scene of the category {novel}; it has "
            f"{', '.join(categories)}"
        )
    return f"category == {novel!r}"


def count_samples(manifest: Manifest, selection: str) -> int:
    """Return the number of samples of an epoch that a selection picks."""
    picks = Selection(selection)
    return sum(selected_counts(manifest, group, picks)[1] for _, _, group in manifest.groups())


def _in(splits: Iterable[str]) -> str:
    names = sorted(splits)
    if len(names) == 1:
        return f"split == {names[0]!r}"
    return f"split in ({', '.join(repr(name) for name in names)})"


def _ids(dataset: Dataset, selection: Selection) -> Iterable[str]:
    """Yield the names of all samples that a selection picks; no picture is read."""
    kind = dataset.manifest.kind
    for shard, index, group in dataset.manifest.groups():
        if selected_counts(dataset.manifest, group, selection)[0]:
            table = dataset.read_row_group(shard, index, id_columns(kind))
            yield from sample_ids(table, kind, dataset.selected_rows(table, selection))
