from __future__ import annotations

import subprocess
import sys

import pytest

from pipelines.runtime.memory import keep_freed_memory

PROGRAM = """
import resource
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from pipelines.runtime.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def work():
    arrays = [np.ones(1_500_000) for _ in range(4)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

with ThreadPoolExecutor(1) as thread:
    thread.submit(work).result()
    before = faults()
    for _ in range(10):
        thread.submit(work).result()
    print((faults() - before) / 10)
"""


def pages_anew(how: str) -> float:
    """Return the pages that the system hands out each time that a thread makes 48 MB of arrays."""
    ran = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return float(ran.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_freed_memory_is_used_again() -> None:
    assert pages_anew("keep") < 100 < pages_anew("default")


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    keep_freed_memory()
