"""Objects of S3 stores, by the client that s3fs holds. Keys are taken as they are: no call takes patterns.

s3fs's own methods are passed by: they take patterns, cache what other processes change, and replace the
store's answer by an error of the operating system, which says less.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from fsspec.asyn import sync

from pipelines.runtime import s3_settings
from pipelines.runtime.s3_errors import code_of, status_of

PART_BYTES = 16 << 20
"""Size of each part of an upload but the last: some stores demand that all are equal, S3 at least 5 MiB."""

_NEVER_WRITTEN = ".charmnet-dry-run"
_MOST_DELETED = 1000
_READ_ATTEMPTS = 3
_BROKEN_BODY = (IncompleteReadError, HTTPClientError, TimeoutError)
_UNEXPLAINED = (301, 302, 307, 400, 403)  # answers to HEAD have no body, hence no reason
_NO_BULK_DELETE = (400, 403, 405, 411, 501)


class S3Store:
    """The store that the environment names; a path is BUCKET/KEY."""

    def exists(self, path: str) -> bool:
        """Tell whether there is an object, or one beneath it."""
        bucket, _, key = path.partition("/")
        try:
            if key:
                self._head(bucket, key)
                return True
        except ClientError as error:
            if status_of(error) != 404:
                raise
        try:
            page = self._call("list_objects_v2", Bucket=bucket, Prefix=key and f"{key}/", MaxKeys=1)
            return not key or bool(page.get("Contents"))
        except ClientError as error:
            if status_of(error) != 404:
                raise
            return False

    def size_bytes(self, path: str) -> int:
        """Return an object's size."""
        bucket, _, key = path.partition("/")
        return int(self._head(bucket, key)["ContentLength"])

    def read(self, path: str) -> bytes:
        """Return an object's content."""
        return self._get(path)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return `length` bytes from `start` on; fewer where the object ends before."""
        if length <= 0:
            return b""
        try:
            return self._get(path, Range=f"bytes={start}-{start + length - 1}")
        except ClientError as error:
            if status_of(error) == 416:  # nothing there
                return b""
            raise

    def write(self, path: str, data: bytes) -> None:
        """Write an object: all of it or nothing."""
        bucket, _, key = path.partition("/")
        if len(data) <= PART_BYTES:
            self._call("put_object", Bucket=bucket, Key=key, Body=data)
            return
        with self.create(path) as writer:
            writer.write(data)

    def check_writable(self, path: str) -> None:
        """Begin an upload in parts and give it up: it asks for the right to write, and no object appears."""
        bucket, _, key = path.partition("/")
        place = {"Bucket": bucket, "Key": f"{key}/{_NEVER_WRITTEN}" if key else _NEVER_WRITTEN}
        upload = self._call("create_multipart_upload", **place)["UploadId"]
        with suppress(ClientError):  # nothing was sent, hence nothing is kept
            self._call("abort_multipart_upload", **place, UploadId=upload)

    @contextmanager
    def create(self, path: str) -> Iterator[PartWriter]:
        """Open an object to be written; it appears at the end, or not at all where the body fails."""
        bucket, _, key = path.partition("/")
        writer = PartWriter(self._call, bucket, key)
        try:
            yield writer
            writer.complete()
        except BaseException:
            writer.abort()
            raise

    def children(self, path: str) -> list[str]:
        """Return the names directly beneath."""
        bucket, _, key = path.partition("/")
        prefix = key and f"{key}/"
        names: set[str] = set()
        for page in self._pages(bucket, prefix, Delimiter="/"):
            names.update(
                entry["Prefix"].removeprefix(prefix)[:-1] for entry in page.get("CommonPrefixes", ())
            )
            names.update(entry["Key"].removeprefix(prefix) for entry in page.get("Contents", ()))
        return sorted(names - {""})

    def files(self, path: str) -> list[str]:
        """Return the relative keys of all objects beneath; markers of empty folders are left out."""
        bucket, _, key = path.partition("/")
        prefix = key and f"{key}/"
        return [found.removeprefix(prefix) for found in self._keys(bucket, prefix) if not found.endswith("/")]

    def delete(self, path: str) -> None:
        """Delete an object and those beneath it: exactly the keys that a listing names."""
        bucket, _, key = path.partition("/")
        keys = list(self._keys(bucket, key and f"{key}/"))
        if key:
            keys.append(key)
        for start in range(0, len(keys), _MOST_DELETED):
            for refused in self._delete_many(bucket, keys[start : start + _MOST_DELETED]):
                self._delete_one(bucket, refused)

    def _delete_one(self, bucket: str, key: str) -> None:
        """Delete an object; a refusal counts only where it exists."""
        try:
            self._call("delete_object", Bucket=bucket, Key=key)
        except ClientError:
            if self._is_object(bucket, key):
                raise

    def _is_object(self, bucket: str, key: str) -> bool:
        try:
            self._head(bucket, key)
        except ClientError as error:
            return status_of(error) != 404
        return True

    def _delete_many(self, bucket: str, keys: Sequence[str]) -> Sequence[str]:
        """Delete many objects by one request; return those to be deleted singly, whose answers count."""
        if len(keys) == 1:
            return keys
        objects = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            answer = self._call("delete_objects", Bucket=bucket, Delete=objects)
        except ClientError as error:
            if status_of(error) not in _NO_BULK_DELETE:
                raise
            return keys  # not every store knows this request
        return [error["Key"] for error in answer.get("Errors", ())]

    def _keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with a prefix."""
        for page in self._pages(bucket, prefix):
            yield from (entry["Key"] for entry in page.get("Contents", ()))

    def _pages(self, bucket: str, prefix: str, **options: str) -> Iterator[dict[str, Any]]:
        """Yield the pages of a listing."""
        while True:
            page = self._call("list_objects_v2", Bucket=bucket, Prefix=prefix, **options)
            yield page
            if not page.get("IsTruncated"):
                return
            options["ContinuationToken"] = page["NextContinuationToken"]

    def _head(self, bucket: str, key: str) -> dict[str, Any]:
        """Ask for an object's size; where that is refused, by a request whose answer has the reason."""
        try:
            answer: dict[str, Any] = self._call("head_object", Bucket=bucket, Key=key)
        except ClientError as error:
            if status_of(error) not in _UNEXPLAINED:
                raise
            self._call("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)  # which learns the region
            answer = self._call("head_object", Bucket=bucket, Key=key)
        return answer

    def _get(self, path: str, **options: str) -> bytes:
        """Return the body of an object; one that breaks off is asked for again."""
        bucket, _, key = path.partition("/")
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                return bytes(self._call("get_object", Bucket=bucket, Key=key, **options)["Body"])
            except _BROKEN_BODY:
                if attempt == _READ_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    @staticmethod
    def _call(operation: str, **arguments: Any) -> Any:
        """Call an operation of the client; once more with new keys where a token has expired."""
        try:
            return _perform(operation, arguments)
        except ClientError as error:
            if code_of(error) != "ExpiredToken":
                raise
        s3_settings.connect.cache_clear()  # another program may have renewed the file with the keys
        return _perform(operation, arguments)


def _perform(operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to an operation, with its body, if any, as bytes."""
    filesystem = s3_settings.connect(os.getpid(), s3_settings.relevant_environment())

    async def perform() -> dict[str, Any]:
        answer: dict[str, Any] = await getattr(await filesystem.set_session(), operation)(**arguments)
        if "Body" in answer:
            async with answer["Body"] as body:
                answer["Body"] = await body.read()
        return answer

    answer: dict[str, Any] = sync(filesystem.loop, perform)
    return answer


class PartWriter:
    """An object that is written from its beginning to its end, in parts of equal size."""

    def __init__(self, call: Callable[..., Any], bucket: str, key: str) -> None:
        self._call = call
        self._object = {"Bucket": bucket, "Key": key}
        self._buffer = bytearray()
        self._upload: str | None = None
        self._parts: list[dict[str, Any]] = []

    def write(self, data: bytes) -> int:
        """Take bytes and send the parts that they fill; return their number."""
        size = memoryview(data).nbytes
        self._buffer += data
        while len(self._buffer) > PART_BYTES:
            self._send(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]
        return size

    def writelines(self, lines: Iterable[bytes]) -> None:
        """Take several pieces of bytes."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: parts have a size of their own."""

    def complete(self) -> None:
        """Send what is left, and let the object appear."""
        if self._upload is None:
            self._call("put_object", **self._object, Body=bytes(self._buffer))
            return
        self._send(bytes(self._buffer))
        parts = {"Parts": self._parts}
        self._call("complete_multipart_upload", **self._object, UploadId=self._upload, MultipartUpload=parts)

    def abort(self) -> None:
        """Remove the parts that were sent, where the store still answers."""
        if self._upload is not None:
            try:
                self._call("abort_multipart_upload", **self._object, UploadId=self._upload)
            except (BotoCoreError, ClientError):
                return  # the error that led here counts

    def _send(self, data: bytes) -> None:
        if self._upload is None:
            self._upload = self._call("create_multipart_upload", **self._object)["UploadId"]
        number = len(self._parts) + 1
        answer = self._call(
            "upload_part", **self._object, UploadId=self._upload, PartNumber=number, Body=data
        )
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
