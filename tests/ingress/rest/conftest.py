"""The keys are those of the sockets."""

from tests.ingress.access.conftest import environment, keys, pem

__all__ = ["environment", "keys", "pem"]
