"""Data tasks run on the nodes that `data_resources` names, on a cluster of several."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pipelines.benchmarks.synthetic_data import write_pairs

SCRIPT = """
import sys
from pipelines.runtime.cluster import prepare_environment
prepare_environment()
import ray
from ray.cluster_utils import Cluster
from ray.experimental import get_object_locations
from pipelines.config.train_config import TrainConfig, data_requirements
from pipelines.ingest.execution import TaskResources, stream_dataset
from pipelines.ingest.stream import StreamSpec
from pipelines.shards.reading import Dataset
from pipelines.training.placement import data_nodes, place
store = {"object_store_memory": 200_000_000, "num_gpus": 0}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, **store})
ray.init(address=cluster.address, log_to_driver=False)
offer = {"resources": {"decode": 2}, "labels": {"pool": "decode"}}
names = {cluster.add_node(num_cpus=2, **offer, **store).node_id: "decoding node"}
cluster.wait_for_nodes()
spec = StreamSpec(Dataset.open(sys.argv[1]), 8, size=64)
for text in ("decode=1", "pool=decode"):
    config = TrainConfig(data_resources=text, workers="1")
    placement = place(config, 1, 4, 0, nodes=data_nodes(config, ray.nodes()))
    amounts, labels = data_requirements(text)
    resources = TaskResources(placement.cpus_per_task, placement.cpus_per_domain, amounts, labels)
    blocks = 0
    made_on = set()
    for bundle in stream_dataset(spec, 0, 64, 8, resources).iter_internal_ref_bundles():
        blocks += len(bundle.block_refs)
        for location in get_object_locations(bundle.block_refs).values():
            made_on.update(names.get(node, "head") for node in location["node_ids"])
    print(text, blocks, *sorted(made_on))
try:
    data_nodes(TrainConfig(data_resources="pool=other"), ray.nodes())
except ValueError as error:
    print(error)
ray.shutdown()
cluster.shutdown()
"""


def test_data_tasks_run_where_a_resource_or_a_label_says(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, write_pairs(tmp_path / "data", 128, 64)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second, refused = done.stdout.splitlines()
    assert first == "decode=1 8 decoding node"
    assert second == "pool=decode 8 decoding node"
    assert refused.startswith("data_resources=pool=other: no node of the cluster has that; start one with")
