"""Tracking of runs in MLflow, by way of a spool on disk that outlasts servers and processes.

    tracker = open_tracker(tracking_uri, identity, spool_folder)
    tracker.log_metrics({"loss/total": 0.5}, step=1)
    tracker.close("FINISHED")

Processes that record nothing use a plain `Tracker()`.
"""

from pipelines.tracking.drivers import close_orphans
from pipelines.tracking.grids import sample_grid
from pipelines.tracking.identity import RunIdentity
from pipelines.tracking.mlflow_tracker import MlflowTracker, open_tracker
from pipelines.tracking.server import experiment_link, run_link
from pipelines.tracking.system_metrics import SystemSampler
from pipelines.tracking.tracker import RunStatus, Tracker
from pipelines.tracking.unsent_spools import UnsentSpools, send_unsent

__all__ = [
    "MlflowTracker",
    "RunIdentity",
    "RunStatus",
    "SystemSampler",
    "Tracker",
    "UnsentSpools",
    "close_orphans",
    "experiment_link",
    "open_tracker",
    "run_link",
    "sample_grid",
    "send_unsent",
]
