"""Break a run in every way there is, on a cluster of its own, and see what comes of it.

  charmnet chaos --real s3://bucket/real --rendered s3://bucket/rendered --times 20 --json chaos.json

Starts Ray, an S3 server behind a proxy that fails when told to, and MLflow on this machine, all in the state
folder; copies the first shards of the data sets there (or makes small ones); trains once undisturbed, and
once for each fault. Prints what was lost, what came twice, and whether the weights are the undisturbed
run's to the bit. Exits with 1 where an outcome is not the wanted one, and says which.
"""

from pipelines.chaos.command import add_arguments, run

__all__ = ["add_arguments", "run"]
