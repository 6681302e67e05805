"""Requests to the head of a Ray cluster that this process has not joined.

Ray is imported when it is needed: it reads its settings from the environment, which are made before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from charmnet.errors import ClusterError
from pipelines.runtime.retry import wait_until

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

T = TypeVar("T")

_ANSWER_SECONDS = 120.0


def answer_of_head(call: Callable[[], T]) -> T:
    """Return a call's result once the cluster's head answers it.

    Raises:
        WaitTimeoutError: it does not answer in time.
    """
    message = "the cluster's head does not answer"
    return wait_until(call, _ANSWER_SECONDS, message, poll_seconds=0.5, retry_on=(OSError, RuntimeError))


def submission_client(dashboard: str) -> JobSubmissionClient:
    """Connect to the head that answers at the URL of its dashboard."""
    from ray.job_submission import JobSubmissionClient

    return answer_of_head(lambda: JobSubmissionClient(dashboard))


def drain_node(address: str, node_name: str, notice_seconds: float) -> None:
    """Give a node notice that it will be lost, as a spot instance gets it.

    Args:
        address: HOST:PORT of the cluster.
        node_name: name that the node was started with.
        notice_seconds: how long it is said to stay.

    Raises:
        ClusterError: there is no such node, or Ray does not accept the request.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # of C++
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # type: ignore[attr-defined]  # made from protobuf

    client = GcsClient(address=address)
    nodes = {info.node_name: node for node, info in client.get_all_node_info().items()}
    if node_name not in nodes:
        raise ClusterError(f"{address}: no node {node_name}; the cluster has {', '.join(sorted(nodes))}")
    reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    deadline_ms = int((time.time() + notice_seconds) * 1000)
    accepted, message = client.drain_node(nodes[node_name].hex(), reason, "preempted", deadline_ms)
    if not accepted:
        raise ClusterError(f"{address}: the node {node_name} was not drained: {message}")
