"""Load of a machine, sampled during a run.

MLflow's own monitor stops for good when the server is unreachable for a while; this one uses the tracker.
"""

from __future__ import annotations

import importlib
import threading
import time
from types import ModuleType, TracebackType
from typing import Any

import psutil

from pipelines.tracking.tracker import Tracker


class SystemSampler:
    """Context manager that logs processors, memory, network and NVIDIA GPUs as `system/<node>/...`.

    One sampler per node is enough. GPUs are logged if `pynvml` can be imported and finds a driver.

    Args:
        tracker: tracker to log to.
        node: name of the machine in the metrics.
        interval_seconds: time between two samples.
    """

    def __init__(self, tracker: Tracker, node: str, interval_seconds: float = 10.0) -> None:
        self._tracker = tracker
        self._prefix = f"system/{node}"
        self._interval_seconds = interval_seconds
        self._stop = threading.Event()
        self._nvml, self._gpus = _nvidia()
        self._network = psutil.net_io_counters()
        self._sampled_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="system-sampler", daemon=True)

    def __enter__(self) -> SystemSampler:
        psutil.cpu_percent()  # the first call only starts the measurement
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            sample = {**self._host_metrics(), **self._gpu_metrics()}
            self._tracker.log_metrics({f"{self._prefix}/{key}": value for key, value in sample.items()}, None)

    def _host_metrics(self) -> dict[str, float]:
        memory = psutil.virtual_memory()
        network = psutil.net_io_counters()
        now = time.monotonic()
        seconds = now - self._sampled_at
        rates = {
            "network_received_bytes_per_second": (network.bytes_recv - self._network.bytes_recv) / seconds,
            "network_sent_bytes_per_second": (network.bytes_sent - self._network.bytes_sent) / seconds,
        }
        self._network = network
        self._sampled_at = now
        return {
            "cpu_percent": psutil.cpu_percent(),
            "memory_percent": memory.percent,
            "memory_used_bytes": float(memory.used),
            **rates,
        }

    def _gpu_metrics(self) -> dict[str, float]:
        sample = {}
        for index, gpu in enumerate(self._gpus):
            assert self._nvml is not None
            sample[f"gpu_{index}_percent"] = float(self._nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)
            sample[f"gpu_{index}_memory_used_bytes"] = float(self._nvml.nvmlDeviceGetMemoryInfo(gpu).used)
        return sample


def _nvidia() -> tuple[ModuleType | None, list[Any]]:
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None, []
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None, []
    return nvml, [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
