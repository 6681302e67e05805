"""Manifests, batch scripts and dashboards for clusters: what can be said of them without one."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pipelines.commands.cli import main
from pipelines.training.gauges import GAUGES

ROOT = Path(__file__).parents[3]
INFRA = ROOT / "infra"
LAUNCHED = [*INFRA.glob("kuberay/*"), *INFRA.glob("slurm/*"), *INFRA.glob("skypilot/*")]
SCRIPTS = sorted([*INFRA.glob("*.sh"), *INFRA.glob("slurm/*")])
SECRET = re.compile(r"\b(?=[A-Za-z+=]*\d)[A-Za-z0-9+=]{24,}\b")


def _closed(required: list[str], **properties: Any) -> dict[str, Any]:
    """Return the schema of an object that has no other fields."""
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
RESOURCES = _closed(["requests", "limits"], requests=TEXTS, limits=TEXTS)
SOURCE = _closed(["name"], name=TEXT, optional=FLAG)
CONTAINER = _closed(
    ["name", "image", "resources"],
    name=TEXT,
    image=TEXT,
    ports={"type": "array", "items": _closed(["containerPort"], containerPort=COUNT, name=TEXT)},
    envFrom={"type": "array", "items": _closed([], configMapRef=SOURCE, secretRef=SOURCE)},
    resources=RESOURCES,
    volumeMounts={"type": "array", "items": _closed(["mountPath", "name"], mountPath=TEXT, name=TEXT)},
    securityContext=_closed(
        ["runAsNonRoot"],
        runAsNonRoot=FLAG,
        runAsUser=COUNT,
        allowPrivilegeEscalation=FLAG,
        capabilities={"type": "object"},
    ),
)
POD = _closed(
    ["containers"],
    serviceAccountName=TEXT,
    terminationGracePeriodSeconds=COUNT,
    containers={"type": "array", "items": CONTAINER},
    volumes={"type": "array", "items": _closed(["name", "emptyDir"], name=TEXT, emptyDir=TEXTS)},
)
TEMPLATE = _closed(["spec"], spec=POD)
# Of KubeRay's types RayClusterSpec and RayJobSpec (ray.io/v1), the fields that are used here.
CLUSTER = _closed(
    ["headGroupSpec"],
    rayVersion=TEXT,
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=_closed(
        [], idleTimeoutSeconds=COUNT, upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]}
    ),
    authOptions=_closed(["mode"], mode={"enum": ["token", "disabled"]}, secretName=TEXT),
    headGroupSpec=_closed(
        ["rayStartParams", "template"], serviceType=TEXT, rayStartParams=TEXTS, template=TEMPLATE
    ),
    workerGroupSpecs={
        "type": "array",
        "items": _closed(
            ["groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"],
            groupName=TEXT,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            rayStartParams=TEXTS,
            template=TEMPLATE,
        ),
    },
)
JOB = _closed(
    ["entrypoint", "rayClusterSpec"],
    entrypoint=TEXT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
    submitterConfig=_closed([], backoffLimit=COUNT),
    backoffLimit=COUNT,
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    rayClusterSpec=CLUSTER,
)
SKYPILOT = _closed(
    ["resources", "run"],
    name=TEXT,
    num_nodes=COUNT,
    workdir=TEXT,
    envs={"type": "object", "additionalProperties": {"type": ["string", "null"]}},
    secrets={"type": "object", "additionalProperties": {"type": "null"}},
    setup=TEXT,
    run=TEXT,
    resources=_closed(
        ["accelerators"],
        accelerators=TEXT,
        cpus=TEXT,
        memory=TEXT,
        disk_size=COUNT,
        use_spot=FLAG,
        job_recovery=_closed([], max_restarts_on_errors=COUNT),
    ),
)


def _manifest(name: str) -> dict[str, Any]:
    return yaml.safe_load((INFRA / "kuberay" / name).read_text())


def _locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


@pytest.mark.parametrize(
    ("name", "kind", "schema"), [("raycluster", "RayCluster", CLUSTER), ("rayjob", "RayJob", JOB)]
)
def test_manifests_have_kuberays_shape(name: str, kind: str, schema: dict[str, Any]) -> None:
    manifest = _manifest(f"{name}.yaml")
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", kind)
    jsonschema.validate(manifest["spec"], schema)
    manifest["spec"]["rayVersions"] = "2"
    with pytest.raises(jsonschema.ValidationError, match="rayVersions"):
        jsonschema.validate(manifest["spec"], schema)


def test_rays_own_autoscaler_understands_the_cluster() -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    cluster = _manifest("raycluster.yaml")
    cluster["metadata"]["namespace"] = "default"
    derived = _derive_autoscaling_config_from_ray_cr(cluster)
    worker = derived["available_node_types"]["gpu"]
    assert (worker["min_workers"], worker["max_workers"]) == (0, 8)
    assert (worker["resources"]["CPU"], worker["resources"]["GPU"]) == (15, 1)
    assert derived["idle_timeout_minutes"] == 10


def test_the_job_has_the_same_cluster_and_a_command_that_goes_on_by_its_name() -> None:
    job, cluster = _manifest("rayjob.yaml")["spec"], _manifest("raycluster.yaml")["spec"]
    assert job["rayClusterSpec"] == cluster
    assert job["backoffLimit"] > 0
    assert {"--storage", "--name"} < set(job["entrypoint"].split())
    ray = _locked()["ray"]
    assert cluster["rayVersion"] == ray
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        assert container["image"].endswith(f"-ray{ray}")
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert " wget " in (INFRA / "Dockerfile").read_text(), "KubeRay's probes call it"
    assert cluster["authOptions"] == {"mode": "token", "secretName": "charmnet-ray-token"}


@pytest.mark.parametrize("path", LAUNCHED, ids=lambda path: path.name)
def test_nothing_secret_is_written_and_nothing_is_claimed(path: Path) -> None:
    assert not SECRET.search(path.read_text())
    assert "alidated, not launched" in path.read_text()


def test_skypilot_gets_fields_that_it_knows_and_scripts_that_are_bash() -> None:
    task = yaml.safe_load((INFRA / "skypilot/charmnet.yaml").read_text())
    jsonschema.validate(task, SKYPILOT)
    for script in (task["setup"], task["run"]):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    assert "--requirement requirements.lock" in task["setup"]
    assert '--name "$NAME"' in task["run"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)
    if shellcheck := shutil.which("shellcheck"):
        # Files that are sourced are not followed; the first of them ends a script whose `cd` fails.
        options = ["--shell=bash", "--severity=warning", "--exclude=SC1091,SC2164,SC2174"]
        subprocess.run([shellcheck, *options, path], check=True)


@pytest.mark.parametrize("name", ["kuberay/rayjob.yaml", "slurm/charmnet.sbatch", "skypilot/charmnet.yaml"])
def test_the_commands_have_options_that_there_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    options = set(re.findall(r"--[a-z][\w-]*", capsys.readouterr().out))
    text = re.sub(r"\\\n#? *", "", (INFRA / name).read_text()).replace("\n    ", " ")
    (command,) = re.findall(r"charmnet(?: train|\.sbatch)( --real[^\n]*)", text)
    used = set(re.findall(r"(?<=\s)--[a-z][\w-]*", command))
    assert {"--storage", "--name"} <= used <= options


PROGRAMS = {
    "scontrol": 'if [ "$1" = show ]; then echo node1; echo node2; else echo "$*" >>requeued; fi',
    "srun": 'echo "$*" >>steps; exec sleep 60',
    "ray": "exit 0",
    "charmnet": 'echo "$RAY_ADDRESS $*" >started; trap "echo saved >checkpoint; exit 143" TERM\n'
    'while [ ! -e finished ]; do sleep 0.05; done; exit "$(cat finished)"',
}
"""Programs that a Slurm cluster would have, in so far as the script's own logic needs them."""


class SlurmJob:
    """The batch script, started as Slurm starts it on the first of two nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir()
        for name, text in PROGRAMS.items():
            (folder / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
            (folder / "bin" / name).chmod(0o755)
        given = {"JOB_ID": "77", "SUBMIT_DIR": str(folder), "JOB_NODELIST": "node[1-2]", "CPUS_PER_TASK": "4"}
        given |= {"JOB_NUM_NODES": "2", "GPUS_ON_NODE": "1"}
        self.environment = {f"SLURM_{name}": value for name, value in given.items()} | {
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "CHARMNET_STATE": str(folder / "state"),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start it in the background."""
        command = ["bash", INFRA / "slurm/charmnet.sbatch", *arguments]
        return subprocess.Popen(command, env=self.environment, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def job(tmp_path: Path) -> SlurmJob:
    return SlurmJob(tmp_path)


def _wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        subprocess.run(["sleep", "0.05"], check=True)
    raise AssertionError(f"{path} did not come")


def test_a_slurm_job_that_is_told_to_stop_saves_and_is_queued_again(job: SlurmJob, tmp_path: Path) -> None:
    with job.start("--name", "first", "--workers", "2") as script:
        _wait_for(tmp_path / "started")
        token = tmp_path / "state/ray-token-77"
        assert token.stat().st_mode & 0o777 == 0o600
        script.terminate()
        assert script.wait(30) == 143
    assert (tmp_path / "checkpoint").exists()
    assert (tmp_path / "requeued").read_text() == "requeue 77\n"
    assert not token.exists()
    steps = (tmp_path / "steps").read_text()
    assert "--head" in steps
    assert "--exclude=node1" in steps
    assert re.match(r"[\d.:a-f]+:20077 train --name first --workers 2$", (tmp_path / "started").read_text())


@pytest.mark.parametrize("status", [0, 1])
def test_a_slurm_job_ends_as_its_run_does(job: SlurmJob, tmp_path: Path, status: int) -> None:
    (tmp_path / "finished").write_text(str(status))
    with job.start("--name", "first") as script:
        assert script.wait(30) == status
    assert not (tmp_path / "requeued").exists()


def test_a_slurm_job_whose_ray_does_not_start_ends(job: SlurmJob, tmp_path: Path) -> None:
    for name in ("srun", "ray"):
        (tmp_path / "bin" / name).write_text("#!/bin/bash\nexit 1\n")
    with job.start("--name", "first") as script:
        assert script.stderr is not None
        assert "the Ray head has ended" in script.stderr.read()
        assert script.wait(30) == 1
    assert not (tmp_path / "started").exists()


def test_a_slurm_job_without_a_name_is_refused(job: SlurmJob) -> None:
    with job.start("--workers", "2") as script:
        assert script.stderr is not None
        assert "--name is missing" in script.stderr.read()
        assert script.wait(30) == 2


def test_the_dashboard_shows_gauges_that_there_are() -> None:
    from ray.dashboard.modules.metrics.dashboards import default_dashboard_panels

    dashboard = json.loads((INFRA / "grafana/charmnet.json").read_text())
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= dashboard.keys()
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    used = {name for text in expressions for name in re.findall(r"\bray_\w+", text)}
    assert {name.removeprefix("ray_") for name in used if name.startswith("ray_charmnet_")} == GAUGES.keys()
    rays_own = inspect.getsource(default_dashboard_panels)
    assert all(name in rays_own for name in used if not name.startswith("ray_charmnet_"))
    for text in expressions:
        assert text.count("(") == text.count(")")
        assert text.count("{") == text.count("}")
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) == names
