"""Joining Ray, quietly: the running cluster where there is one, else this machine."""

from __future__ import annotations

import logging
import os
import secrets

ADDRESS_VARIABLE = "RAY_ADDRESS"

# Ray reads some of them when it is imported. What the user has set stands.
_SETTINGS = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the behaviour to come; silences its announcement
    "RAY_USAGE_STATS_ENABLED": "0",
}
_QUIET_LOGGERS = {
    "ray.data._internal.progress": logging.ERROR,  # that progress bars are off
    "ray.data._internal.execution.streaming_executor": logging.WARNING,  # every execution's end
}


def connect() -> None:
    """Joins the cluster that `RAY_ADDRESS` names (in a Ray job it is set), else starts Ray on this machine.

    Does nothing where the process is connected already. Ray Data's own progress bars and log lines are turned
    off: commands show progress with `pipelines.progress`.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    address = os.environ.get(ADDRESS_VARIABLE, "local")
    if address == "local" and "RAY_AUTH_MODE" not in os.environ:
        # Ray's control port is open on every interface: only who has this process's token may use it.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray
    import ray.data

    if not ray.is_initialized():
        ray.init(address=address, logging_level=logging.WARNING)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name, level in _QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(level)
