"""Which processes use the server, so that the one that started it may leave while another is still at work."""

from __future__ import annotations

import os
import threading


class Guests:
    """Process ids. A server without a host (started by hand) never closes by itself."""

    def __init__(self, host: int = 0) -> None:
        self._lock = threading.Lock()
        self._pids = {host} if host else set()
        self._hosted = bool(host)
        # Only a child notices its parent's death at once; the id alone may belong to a zombie.
        self._parent = host if host and os.getppid() == host else 0
        self.closing = False

    def join(self, pid: int) -> bool:
        """False when the server is about to close: start another one."""
        with self._lock:
            if not self.closing:
                self._pids.add(pid)
            return not self.closing

    def leave(self, pid: int) -> bool:
        """True when that was the last one, and the server closes now."""
        with self._lock:
            self._pids.discard(pid)
            self._close_if_empty()
            return self.closing

    def sweep(self) -> bool:
        """Forget guests that died; True when nobody is left and the server closes now."""
        with self._lock:
            self._pids = {pid for pid in self._pids if self._alive(pid)}
            self._close_if_empty()
            return self.closing

    def _close_if_empty(self) -> None:
        self.closing = self.closing or (self._hosted and not self._pids)

    def _alive(self, pid: int) -> bool:
        if pid == self._parent:
            return os.getppid() == pid
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
