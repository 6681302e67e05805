"""Process groups of Ray's processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

PROCESSES = """
import os, subprocess, sys, time
from pipelines.runtime.ray_processes import groups_of_their_own
def start():
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], preexec_fn=lambda: None)
with groups_of_their_own():
    apart = start()
beside = start()
print(os.getpgid(apart.pid) == apart.pid, os.getpgid(beside.pid) == os.getpgid(0), apart.pid, flush=True)
time.sleep(60)
"""


def test_a_signal_to_the_group_passes_over_rays_processes() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESSES], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    apart, beside, pid = process.stdout.readline().split()
    assert (apart, beside) == ("True", "True")
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(20) == -signal.SIGTERM
    os.kill(int(pid), signal.SIGKILL)  # it is there, or this would raise
    process.stdout.close()
