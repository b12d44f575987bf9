"""What hostile clients send again and again. None of it is a message, so none of it is work."""

from tests.ingress.raw_client import BINARY, CONT, PING, PONG, frame

FLOODS = {
    "pings": frame(PING) * 10_000,
    "pings with a payload": frame(PING, bytes(125)) * 2_000,
    "pongs": frame(PONG) * 10_000,
    "empty continuation frames": frame(BINARY, fin=False) + frame(CONT, fin=False) * 10_000,
}
