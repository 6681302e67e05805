"""Provenance of models: the data of their training, to tell where they are evaluated on the same pictures.

Data are told apart by digests and names of splits, not by pictures. Nothing is known of what the model that a
training started from (`init`) was trained on, nor of the same photographs in a data set whose splits have
other names. A selection without splits is held against the very data set alone, which several data sets that
were trained on as one are not, nor those of a model on the tracking server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from charmnet.errors import StorageError
from charmnet.methods import Method
from charmnet.vocabulary import Domain
from pipelines.config.train_config import TrainConfig
from pipelines.runs.run_folder import BEST_FOLDER, RUN_FILE, RunFolder
from pipelines.runtime.storage import Location
from pipelines.shards.selection import Selection
from pipelines.shards.stratum import Stratum

_SAME_DATA = "their figures are too good"
_SAME_NAMES = "their figures are too good if the photographs are the same: this data set is not known to be"


@dataclass(frozen=True)
class Provenance:
    """Data of a model's training.

    Attributes:
        chosen_by: split of the real domain by whose error the model was the best of its run; None where it
            was not chosen, or nothing is known.
        selections: parts of the data sets that it was trained on, by domain.
        digests: digests of these data sets; empty where they are not known.
    """

    chosen_by: str | None = None
    selections: Mapping[Domain, Selection] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        method: Method,
        metadata: Mapping[str, Any],
        checkpoint: Location | None = None,
        is_version: bool = False,
    ) -> Provenance:
        """Return what a checkpoint's metadata and its run's folder tell.

        Args:
            method: method of the checkpoint.
            metadata: metadata of the checkpoint.
            checkpoint: its folder; None of a model on the tracking server.
            is_version: whether it is a registered version: a run that validates registers its best.
        """
        try:
            config = TrainConfig.from_json(metadata["config"])
        except (KeyError, TypeError, ValueError, AttributeError):
            return cls()  # written by other means than a run
        if checkpoint is None:
            chosen = is_version and bool(metadata.get("metrics"))
        else:  # the folder of a run may be called so, too
            folder = checkpoint.parent
            chosen = folder.name == BEST_FOLDER and not (folder / RUN_FILE).exists()
        selections = {Domain.REAL: config.real_select, Domain.RENDERED: config.rendered_select}
        return cls(
            config.validate_splits[0] if chosen and config.validate_splits else None,
            {domain: Selection(selections[domain]) for domain in sorted(method.domains)},
            {} if checkpoint is None else _digests(checkpoint),
        )

    def notes(self, digest: str, strata: Iterable[Stratum]) -> list[str]:
        """Return what makes figures look too good, in sentences.

        Args:
            digest: digest of the data set that is evaluated.
            strata: stratum of every image that is evaluated.
        """
        counts = Counter(strata)
        total = counts.total()
        verdict = _SAME_DATA if digest in self.digests.values() else _SAME_NAMES
        notes = []
        chosen = sum(count for stratum, count in counts.items() if self._chosen_by(stratum))
        if chosen:
            notes.append(
                f"the model was chosen by its error on the split {self.chosen_by}, and {chosen} of the "
                f"{total} images here are of a split of that name: {verdict}; choose by another split "
                "(validate_splits)"
            )
        trained = sum(count for stratum, count in counts.items() if self._trained_on(digest, stratum))
        if trained:
            notes.append(
                f"the model was trained on {trained} of the {total} images here, as its training selection "
                f"says: {verdict}; evaluate on a split that was not trained on (--select)"
            )
        return notes

    def _chosen_by(self, stratum: Stratum) -> bool:
        return stratum.domain is Domain.REAL and self.chosen_by in stratum.splits

    def _trained_on(self, digest: str, stratum: Stratum) -> bool:
        """Return whether the training's selection picks a stratum: of the same data, or by split names."""
        selection = self.selections.get(stratum.domain)
        if selection is None:
            return False
        same_data = self.digests.get(str(stratum.domain)) == digest
        return (same_data or "split" in selection.expression) and selection(stratum)


def _digests(checkpoint: Location) -> Mapping[str, str]:
    """Return the digests of the run whose folder a checkpoint lies in, if it does."""
    for folder in (checkpoint.parent, checkpoint.parent.parent):
        if (folder / RUN_FILE).exists():
            try:
                return RunFolder(folder).record().digests
            except StorageError:
                return {}
    return {}
