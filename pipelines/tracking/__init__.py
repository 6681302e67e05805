"""What a run tells about itself: the tracker's protocol, and MLflow behind a spool on disk."""

from pipelines.runtime.redaction import redact
from pipelines.tracking.grids import sample_grid
from pipelines.tracking.mlflow_tracker import MlflowTracker, open_tracker
from pipelines.tracking.runs import close_orphans
from pipelines.tracking.server import experiment_link, run_link
from pipelines.tracking.system_metrics import SystemSampler
from pipelines.tracking.tracker import RunStatus, Tracker
from pipelines.tracking.unsent_spools import UnsentSpools, send_unsent

__all__ = [
    "MlflowTracker",
    "RunStatus",
    "SystemSampler",
    "Tracker",
    "UnsentSpools",
    "close_orphans",
    "experiment_link",
    "open_tracker",
    "redact",
    "run_link",
    "sample_grid",
    "send_unsent",
]
