"""Where records go. To add a kind, write a class with the shape of `Destination`, and choose it in
`destination`. All of it blocks; nothing retries."""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from serve_app.records.signing import headers, key_of
from serve_app.settings.records import RecordSettings

_CHUNK: Final = 1 << 16
_TYPES: Final = {".json": "application/json", ".flac": "audio/flac"}


class NotDelivered(Exception):
    """The message may be logged: nothing that was said is in it."""


class Destination(Protocol):
    """A file that was delivered is there whole, or not at all."""

    def deliver(self, path: Path, name: str) -> None:
        """Has the file there under this name. Safe to repeat. Raises NotDelivered, and OSError if
        the file cannot be read."""

    def close(self) -> None:
        """Releases what it holds."""


class Folder:
    """Of this machine: for its owner only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def deliver(self, path: Path, name: str) -> None:
        making = self._folder / f".{name}.part"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            making.touch(mode=0o600)
            shutil.copyfile(path, making)
            making.replace(self._folder / name)
        except OSError as error:
            raise NotDelivered(f"{type(error).__name__}: {os.strerror(error.errno or 0)}") from None

    def close(self) -> None:
        return


class Bucket:
    """Whatever fsspec knows: S3 and what is compatible with it, Google's and Azure's, SFTP, ..."""

    def __init__(self, url: str) -> None:
        import fsspec

        self._files: Any
        self._files, self._root = fsspec.core.url_to_fs(url)

    def deliver(self, path: Path, name: str) -> None:
        to = f"{self._root.rstrip('/')}/{name}"
        try:
            try:
                self._files.put_file(str(path), to)
            except FileNotFoundError:  # only some have folders; for S3, making one makes a bucket
                self._files.makedirs(self._root, exist_ok=True)
                self._files.put_file(str(path), to)
        except Exception as error:  # each file system has errors of its own
            raise NotDelivered(type(error).__name__) from None

    def close(self) -> None:
        return


class Webhook:
    """Posts each file, signed (see `signing`). Redirects are not followed: they could lead
    anywhere. Of an answer only the status is read: the rest may never come."""

    def __init__(
        self,
        url: str,
        key: bytes,
        timeout_s: float,
        unix_s: Callable[[], float] = time.time,
    ) -> None:
        import httpx2

        self._url, self._key, self._unix_s = url, key, unix_s
        self._http: Any = httpx2
        self._client = httpx2.Client(timeout=timeout_s, follow_redirects=False)

    def deliver(self, path: Path, name: str) -> None:
        signed = headers(self._key, name, self._unix_s(), _chunks(path))
        about = {
            "content-type": _TYPES[path.suffix],
            "content-length": str(path.stat().st_size),
        }
        try:
            with self._client.stream(
                "POST", self._url, content=_chunks(path), headers=signed | about
            ) as answer:
                is_taken, status = answer.is_success, answer.status_code
        except self._http.HTTPError as error:
            raise NotDelivered(type(error).__name__) from None
        if not is_taken:
            raise NotDelivered(f"HTTP {status}")

    def close(self) -> None:
        self._client.close()


def destination(settings: RecordSettings, env: Mapping[str, str]) -> Destination:
    """Of checked settings."""
    if settings.is_webhook:
        key = key_of(env.get(settings.secret_variable, ""))
        return Webhook(settings.url, key, settings.timeout_s)
    if settings.folder is not None:
        return Folder(Path(settings.folder))
    return Bucket(settings.url)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            yield data
