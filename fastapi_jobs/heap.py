"""Keeping the garbage collector away from what is no garbage.

A full collection walks every object of the process: some 100 ms of standing still once a host and
its libraries are loaded, and a stream of jobs asks for one every few thousand jobs. What a process
has loaded by the time its app starts lives as long as the process: it need not be walked again.

A collection of the young objects comes when 700 more (on Python 3.11) were made than freed. Jobs
and requests under way hold that many all the time, a hundred each: it walks them, finds nothing,
and comes again.
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


def raise_threshold(objects: int) -> None:
    """Collect young objects only after so many more were made than freed, if that is more than now.

    A collector that is switched off stays so.
    """
    young, *older = gc.get_threshold()
    if 0 < young < objects:
        gc.set_threshold(objects, *older)
