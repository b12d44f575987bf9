"""What all settings share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

PACKAGED = "packaged"
"""Stands for the small model that this project fetches from the package index by itself."""
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseModel):
    """Base of all settings: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Replicas(Settings):
    """What a deployment asks of the cluster."""

    replicas: int = Field(1, ge=1)
    num_cpus: float = Field(0.1, ge=0)
    """Ray's logical CPUs, which are for placement only; `threads` says how many really work."""


class Pool(Replicas):
    """A deployment whose number of replicas can follow its load."""

    max_replicas: int = Field(0, ge=0)
    """If this is more than `replicas`, there are up to this many, as the load requires; otherwise
    the number is fixed."""
    upscale_delay_s: float = Field(5.0, ge=0)
    """How long more replicas must be needed before they are started."""
    downscale_delay_s: float = Field(300.0, ge=0)
    """How long one replica less must be enough before one is stopped."""
