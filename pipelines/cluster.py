"""Joining Ray, quietly: the running cluster where there is one, else this machine."""

from __future__ import annotations

import logging
import os

ADDRESS_VARIABLE = "RAY_ADDRESS"

# Said before Ray is imported, since it reads some of them then. What the user has set stands.
_SETTINGS = {
    "RAY_AUTH_MODE": "disabled",  # a local cluster listens on this machine only; a shared one sets "token"
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # today's behaviour to come; silences its announcement
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "1",
}


def connect() -> None:
    """Joins the cluster that `RAY_ADDRESS` names (in a Ray job it is set), else starts Ray on this machine.

    Does nothing where the process is connected already. Ray Data's own progress bars and log lines are turned
    off: commands show progress with `pipelines.progress`.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray
    import ray.data

    if not ray.is_initialized():
        if os.environ.get(ADDRESS_VARIABLE):
            ray.init(logging_level=logging.WARNING)
        else:
            ray.init(address="local", logging_level=logging.WARNING, log_to_driver=True)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # says that they are off
