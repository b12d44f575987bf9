"""Settings of what is kept of calls. The manual is docs/records.md."""

from pathlib import PurePosixPath
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from serve_app.settings.base import Seconds, Settings


class RecordSettings(Settings):
    """A record of each call, made when it ends. Without these settings nothing is kept."""

    url: str = Field(min_length=1)
    """Where records go: the absolute path of a folder, an address that fsspec knows (s3://...), or
    the http(s) address of a webhook."""
    spool_dir: str = Field(min_length=1)
    """The folder where a call is noted while it goes on, and waits until it is delivered. An
    absolute path, on a disk that outlives the process."""
    recording: bool = False
    """Whether the sound is kept, too."""
    secret_variable: str = "ECHO_RECORDS_SECRET"
    """Name of the environment variable with the secret that signs webhooks, at least 32 bytes."""
    max_minutes: float = Field(60.0, gt=0, le=1440)
    """Of sound. A call that lasts longer is recorded up to here; its transcript goes on."""
    timeout_s: Seconds = 30.0
    """How long a webhook may take to answer."""
    deadline_s: Seconds = 3600.0
    """After the end of the call, so long a record is tried to be delivered. Then it stays in the
    spool until a replica starts there."""
    max_waiting: int = Field(1000, ge=1)
    """Records that may wait in the spool of a replica. While there are more, none is begun."""

    @model_validator(mode="after")
    def _has_paths_that_are_the_same_everywhere(self) -> Self:
        if not PurePosixPath(self.spool_dir).is_absolute():
            raise ValueError("spool_dir must be an absolute path")
        if self.folder is not None and not PurePosixPath(self.folder).is_absolute():
            raise ValueError("url must be an absolute path, or an address with its scheme")
        return self

    @property
    def scheme(self) -> str:
        return urlsplit(self.url).scheme or "file"

    @property
    def folder(self) -> str | None:
        """The path, if it is a folder of this machine."""
        found = urlsplit(self.url)
        if not found.scheme:
            return self.url  # it may have a # or a ?
        return found.path if found.scheme == "file" else None

    @property
    def is_webhook(self) -> bool:
        return self.scheme in ("http", "https")
