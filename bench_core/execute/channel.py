"""Messages between the main process and a worker, over a socket."""

from __future__ import annotations

import os
import pickle
import socket
import struct
from collections.abc import Iterator
from typing import Any

__all__ = ["Channel"]

_SIZE = struct.Struct("!Q")
_AT_ONCE = 1 << 18


class Channel:
    """One end of a connection.

    Args:
        link: a connected socket.
    """

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._owner = os.getpid()
        self._arrived = bytearray()

    def fileno(self) -> int:
        """Return the descriptor, for ``connection.wait``."""
        return self._link.fileno()

    def send(self, message: Any, *, within: float | None = None) -> None:
        """Send a message.

        A process that a method has forked off ends here: its messages would get mixed up with its parent's.

        Args:
            message: anything that can be pickled.
            within: seconds after which to give up where the other end does not read.

        Raises:
            OSError: when the other end is gone, or did not read.
        """
        if os.getpid() != self._owner:
            os._exit(0)
        content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        self._link.settimeout(within)
        try:
            self._link.sendall(_SIZE.pack(len(content)) + content)
        finally:
            self._link.settimeout(None)

    def receive(self) -> Any:
        """Wait for the next message and return it.

        Raises:
            EOFError: when the other end is gone.
        """
        while True:
            for message in self._whole():
                return message
            self._take(self._link.recv(_AT_ONCE))

    def arrived(self) -> Iterator[Any]:
        """Yield the messages that are there, and never wait: not for the rest of one, whose sender may be stopped.

        Raises:
            EOFError: after them, when the other end is gone.
        """
        while True:
            yield from self._whole()
            try:
                content = self._link.recv(_AT_ONCE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                raise EOFError from None
            self._take(content)

    def close(self) -> None:
        """Close this end."""
        self._link.close()

    def _take(self, content: bytes) -> None:
        if not content:
            raise EOFError
        self._arrived += content

    def _whole(self) -> Iterator[Any]:
        while len(self._arrived) >= _SIZE.size:
            end = _SIZE.size + _SIZE.unpack_from(self._arrived)[0]
            if len(self._arrived) < end:
                return
            content = bytes(self._arrived[_SIZE.size : end])
            del self._arrived[:end]
            yield pickle.loads(content)
