"""Places where a test may kill this process for real.

`FASTAPI_JOBS_FAILPOINT=name` makes the process kill itself with SIGKILL when it reaches that
place, or when it reaches it for the n-th time with `name:n`. Unset, a place costs one comparison.
"""

import os
import signal
import threading

_name, _, _count = os.environ.get("FASTAPI_JOBS_FAILPOINT", "").partition(":")
_left = int(_count or 1)
_lock = threading.Lock()

ARMED = bool(_name)


def reach(name: str) -> None:
    """Die here if the environment says so."""
    global _left
    if not ARMED or name != _name:
        return
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
