"""What the building of a data set would do: `--dry-run` of the commands that make one."""

from __future__ import annotations

from pipelines.conversion.build import BuildPlan, DatasetBuild
from pipelines.runtime.rehearsal import Rehearsal, place_of_work
from pipelines.shards.rejection import count_items, too_many_rejected


def rehearse_plan(
    build: DatasetBuild, plan: BuildPlan, max_rejected: float, reads: str, made: str
) -> Rehearsal:
    """Return what a build would do, once it is known that its plan is not refused.

    Args:
        build: the data set.
        plan: its work.
        max_rejected: the share of the requested items, in 0..1, that may be rejected.
        reads: what is read.
        made: what is made, such as "12 shards".

    Raises:
        DataError: too much is rejected before any task runs.
        ClusterError: the cluster that is named does not answer.
    """
    if plan.rejects_too_much(max_rejected):
        raise too_many_rejected(plan.rejected, plan.items or 0, max_rejected, plan.plan_remedy, None)
    runs = f"{plan.title.lower()} {place_of_work(plan.small)}"
    return rehearse_build(build, reads, made, runs, count_items(plan.rejected))


def rehearse_build(build: DatasetBuild, reads: str, made: str, runs: str, rejected: int = 0) -> Rehearsal:
    """Return what a build would do; `rejected` items are lost before any task runs."""
    state = "an unfinished data set goes on" if build.is_begun else "a new data set"
    lost = f", {rejected:,} rejected before any file is read" if rejected else ""
    return Rehearsal([reads], {build.location: f"{state}: {made}{lost}"}, runs)
