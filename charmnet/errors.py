"""The errors that this project raises on purpose.

A message names what was got, where, what was expected and the remedy. Bad configuration is a plain
``ValueError``; everything else that a user can mend is a `CharmNetError`.
"""


class CharmNetError(Exception):
    """Base of every error that is about the user's input or surroundings and not a defect."""


class DataError(CharmNetError):
    """A picture, row, list, shard or manifest is not what it should be."""


class StorageError(CharmNetError):
    """A place that was named cannot be read or written, or holds something else."""


class WeightsError(CharmNetError):
    """A checkpoint or released weights file does not fit the network."""


class ClusterError(CharmNetError):
    """The Ray cluster that was named cannot be joined, or Ray does not start here."""


class NonFiniteLossError(CharmNetError):
    """A loss or gradient became NaN or infinite; the message names it."""
