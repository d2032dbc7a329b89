"""Finds ports for a run, so that several can live side by side."""

import random
import socket
import sys

HOST = "127.0.0.1"

_FIRST_SPARE, _LAST_SPARE = 20_000, 32_000
"""Below the kernel's ephemeral range, so that no outgoing connection can take one before it is bound."""


class Ports:
    """
    Ports chosen for one run and held for it until :meth:`release`, or until the process ends.

    A port is found free before the emulator that will use it has bound it, so it is also reserved
    against other runs, by a socket name in Linux's abstract namespace, which leaves no file.
    """

    def __init__(self) -> None:
        self._reservations: list[socket.socket] = []

    def choose(self, preferred: int = 0) -> int:
        """
        *preferred* if it is free, else another.

        Raises:
            OSError: a hundred ports tried were all taken.
        """
        if preferred and self._take(preferred):
            return preferred
        for _ in range(100):
            port = random.randint(_FIRST_SPARE, _LAST_SPARE)  # noqa: S311  not a secret
            if self._take(port):
                return port
        message = f"no free port between {_FIRST_SPARE} and {_LAST_SPARE} on {HOST}"
        raise OSError(message)

    def release(self) -> None:
        """Let other runs have them."""
        for reservation in self._reservations:
            reservation.close()
        self._reservations.clear()

    def _take(self, port: int) -> bool:
        reservation = _reserve(port)
        if reservation is None or not is_free(port):
            if reservation is not None:
                reservation.close()
            return False
        self._reservations.append(reservation)
        return True


def is_free(port: int) -> bool:
    """Whether a server could listen on *port* now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _reserve(port: int) -> socket.socket | None:
    reservation = socket.socket(socket.AF_UNIX if sys.platform == "linux" else socket.AF_INET)
    if sys.platform == "linux":
        try:
            reservation.bind(f"\0lectern-port-{port}")
        except OSError:
            reservation.close()
            return None
    return reservation
