"""Keeping the garbage collector away from what never becomes garbage.

A full collection walks every object of the process: some 100 ms of standing still once a host and
its libraries are loaded, and a stream of jobs asks for one every few thousand jobs. What a process
has loaded by the time its app starts lives as long as the process: it need not be walked again.
"""

import gc
import threading

_lock = threading.Lock()
_frozen = False


def freeze_heap() -> bool:
    """Collect once, then leave all that is alive out of later collections; at most once in a
    process, so that what is frozen stays bounded. Returns whether this call did it.
    """
    global _frozen
    with _lock:
        if _frozen:
            return False
        _frozen = True
    gc.collect()
    gc.freeze()
    return True
