"""How this project speaks to S3 stores: read once, from what Amazon's own tools read, for every client alike.

Keys, profiles, roles, single sign-on, endpoints and certificates are botocore's business, with its variables
(`AWS_...`) and `~/.aws/config`. Added to it: AWS_REGION and AWS_NO_SIGN_REQUEST, which other tools read; no
proxy for a store on this machine; the host-style addresses of stores that refuse others; and, for stores that
are not Amazon's, checksums only where S3 demands them.
"""

from __future__ import annotations

import ipaddress
import os
import re
import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import botocore.session
from aiobotocore.session import AioSession
from botocore.config import Config
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.exceptions import NoCredentialsError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from pipelines.runtime.redaction import redact
from pipelines.runtime.s3_errors import CHECKSUM_VARIABLE, ENDPOINT_VARIABLE
from pipelines.runtime.store_errors import RefusedError

ANONYMOUS_VARIABLE = "AWS_NO_SIGN_REQUEST"

_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_ATTEMPTS = 3
_CONNECTIONS = 32
_HOST_STYLE_DOMAINS = (".aliyuncs.com", ".volces.com", ".ivolces.com", ".myqcloud.com")
"""Domains of stores that refuse paths with the bucket in them: OSS, TOS and COS."""
_OTHER_VARIABLES = {"HOME", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}


@dataclass(frozen=True)
class S3Settings:
    """What a client of a store is told; holds no secret.

    Attributes:
        endpoint: the store's URL; None for Amazon's own.
        region: region that requests are signed for until the store names another; None for the default.
        addressing: "path", "virtual" (the bucket in the host's name) or "auto": "path" at an endpoint.
        anonymous: requests are not signed.
        credentials: where keys come from, in botocore's words, such as env, sso or assume-role.
        profile: name of the profile in ~/.aws/config; None for the default one.
        checksums: "when_supported" or "when_required".
        proxy: the proxy that requests pass, without its password; None for none.
        ca_bundle: file with the authorities of certificates; None for the system's.
    """

    endpoint: str | None
    region: str | None
    addressing: str
    anonymous: bool
    credentials: str
    profile: str | None
    checksums: str
    proxy: str | None
    ca_bundle: str | None

    @property
    def is_loopback(self) -> bool:
        """Whether the store listens on this machine alone, where no proxy leads."""
        return _is_loopback(_host(self.endpoint))

    def config(self) -> dict[str, Any]:
        """Return the arguments of botocore's configuration of a client."""
        return {
            "connect_timeout": _CONNECT_SECONDS,
            "read_timeout": _READ_SECONDS,
            "max_pool_connections": _CONNECTIONS,
            "retries": {"mode": os.environ.get("AWS_RETRY_MODE") or "standard"} | _attempts(),
            "proxies": {} if self.is_loopback else None,
            "s3": {"addressing_style": self.addressing},
            "request_checksum_calculation": self.checksums,
            "response_checksum_validation": self.checksums,
        }

    def mlflow_environment(self) -> dict[str, str]:
        """Return the variables that tell MLflow's client the same; it reads the others itself."""
        variables = {CHECKSUM_VARIABLE: self.checksums}
        if self.region:
            variables["AWS_DEFAULT_REGION"] = self.region
        if self.endpoint:
            variables["MLFLOW_S3_ENDPOINT_URL"] = self.endpoint
        if self.addressing != "auto":
            variables["MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE"] = self.addressing
        if self.anonymous:
            variables["MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION"] = "unsigned"
        return variables | (without_proxy(_host(self.endpoint)) if self.is_loopback else {})


def _attempts() -> dict[str, int]:
    return {} if os.environ.get("AWS_MAX_ATTEMPTS") else {"total_max_attempts": _ATTEMPTS}


def relevant_environment() -> tuple[tuple[str, str], ...]:
    """Return the variables that decide how a store is spoken to; a client is made anew where they change."""
    return tuple(
        (name, value)
        for name, value in sorted(os.environ.items())
        if name.startswith("AWS_") or name.upper() in _OTHER_VARIABLES
    )


def read_settings(session: botocore.session.Session | None = None) -> S3Settings:
    """Read the settings from the environment and the files of Amazon's tools.

    Raises:
        ValueError: the endpoint is no URL.
        ProfileNotFound, ConfigParseError: AWS_PROFILE names no profile, or ~/.aws/config cannot be read.
    """
    session = session or botocore.session.get_session()
    profile = session.get_scoped_config()
    endpoint = _endpoint(session, profile)
    credentials = None if _unsigned() else session.get_credentials()
    checksums = os.environ.get(CHECKSUM_VARIABLE) or profile.get("request_checksum_calculation")
    return S3Settings(
        endpoint=endpoint,
        region=os.environ.get("AWS_REGION") or session.get_config_variable("region"),
        addressing=_addressing(profile, endpoint),
        anonymous=credentials is None,
        credentials="none" if credentials is None else credentials.method,
        profile=session.profile,
        checksums=str(checksums or ("when_required" if endpoint else "when_supported")).lower(),
        proxy=_proxy(endpoint),
        ca_bundle=session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE"),
    )


def _unsigned() -> bool:
    return os.environ.get(ANONYMOUS_VARIABLE, "").lower() in ("1", "true", "yes")


def _endpoint(session: botocore.session.Session, profile: dict[str, Any]) -> str | None:
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    endpoint: str | None = ConfiguredEndpointProvider(session.full_config, profile, "s3").provide()
    if endpoint and not re.match(r"https?://[^/]", endpoint):
        raise ValueError(
            f"{ENDPOINT_VARIABLE} is {redact(endpoint)!r}, expected http://HOST:PORT or https://HOST"
        )
    return endpoint


def _addressing(profile: dict[str, Any], endpoint: str | None) -> str:
    own = profile.get("s3")
    if isinstance(own, dict) and own.get("addressing_style"):
        return str(own["addressing_style"])
    return "virtual" if _host(endpoint).endswith(_HOST_STYLE_DOMAINS) else "auto"


def _proxy(endpoint: str | None) -> str | None:
    url = endpoint or "https://s3.amazonaws.com"
    proxy = getproxies().get(urlsplit(url).scheme)
    bypassed = _is_loopback(_host(url)) or proxy_bypass(_host(url))
    return redact(proxy) if proxy and not bypassed else None


def _host(url: str | None) -> str:
    return urlsplit(url or "").hostname or ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def without_proxy(*hosts: str) -> dict[str, str]:
    """Return no_proxy and NO_PROXY with these hosts added: no proxy is asked for them."""
    merged = {}
    for name in ("no_proxy", "NO_PROXY"):
        listed = os.environ.get(name) or os.environ.get(name.swapcase()) or ""
        earlier = [host for host in listed.split(",") if host.strip()]
        merged[name] = ",".join([*earlier, *(host for host in hosts if host not in earlier)])
    return merged


@lru_cache(maxsize=4)
def connect(_process: int, _environment: tuple[tuple[str, str], ...]) -> S3FileSystem:
    """Return the filesystem of s3fs, connected, for this process and its environment.

    Its client is safe to use from several threads, and renews the keys of roles and single sign-on itself.

    Raises:
        RefusedError: there is no file with certificates where one is named.
    """
    settings = read_settings()
    if settings.ca_bundle and not Path(settings.ca_bundle).exists():
        raise RefusedError(
            f"{settings.ca_bundle}: no such file; expected AWS_CA_BUNDLE to name a file with certificates"
        )
    filesystem = S3FileSystem(
        anon=settings.anonymous,
        session=AioSession(),  # which reads profiles and roles
        endpoint_url=settings.endpoint,
        client_kwargs={"region_name": settings.region},
        config_kwargs=settings.config(),
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    events = sync(filesystem.loop, filesystem.set_session).meta.events
    events.register_first("needs-retry.s3.HeadBucket", _end_redirects)
    if settings.anonymous and not _unsigned():
        events.register("after-call.s3", _refuse_unsigned)
    return filesystem


def local_client(endpoint: str, access_key: str, secret_key: str) -> Any:
    """Return a client of a store on this machine that heeds no other setting, and tries once."""
    nothing = (None, None, os.devnull, None)
    session = botocore.session.Session(
        {"profile": (None, None, None, None), "config_file": nothing, "credentials_file": nothing}
    )
    session.set_credentials(access_key, secret_key)
    once = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        retries={"total_max_attempts": 1},
        proxies={},
        s3={"addressing_style": "path"},
    )
    return session.create_client("s3", region_name="us-east-1", endpoint_url=endpoint, config=once)


def _end_redirects(request_dict: dict[str, Any], response: Any, **_: object) -> None:
    """Keep botocore from asking without end for the region of a bucket whose store only redirects."""
    if response is not None and "x-amz-bucket-region" not in response[0].headers:
        request_dict["context"].setdefault("s3_redirect", {})["redirected"] = True


def _refuse_unsigned(http_response: Any, **_: object) -> None:
    """Say that there are no keys, where a store refuses a request without them."""
    if http_response.status_code in (401, 403):
        raise NoCredentialsError


def main() -> None:
    """Print what MLflow's server must be told, as shell exports (for infra/mlflow.sh)."""
    for name, value in read_settings().mlflow_environment().items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
