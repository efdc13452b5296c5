"""How many more jobs each backend of this process may run now.

The dispatcher takes and gives slots on its loop; a claim reserves them on the writer's thread, for
just as long as it looks for jobs, so that new jobs can start at once all the while.
"""

import threading
from collections.abc import Mapping


class Slots:
    """Free slots by backend; every method may be called from any thread."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._free = dict(sizes)
        self._lock = threading.Lock()

    def free(self) -> dict[str, int]:
        """The backends that have free slots, and how many."""
        with self._lock:
            return {name: count for name, count in self._free.items() if count > 0}

    def take(self, backend: str) -> bool:
        """Take one slot; False when there is none."""
        with self._lock:
            free = self._free.get(backend, 0)
            if free > 0:
                self._free[backend] = free - 1
            return free > 0

    def reserve(self) -> dict[str, int]:
        """Take every free slot."""
        with self._lock:
            taken = {name: count for name, count in self._free.items() if count > 0}
            for name in taken:
                self._free[name] = 0
            return taken

    def give(self, backend: str) -> None:
        """Give one slot back; of a backend without slots of its own, nothing."""
        with self._lock:
            if backend in self._free:
                self._free[backend] += 1

    def give_back(self, slots: Mapping[str, int]) -> None:
        """Give many slots back."""
        with self._lock:
            for name, count in slots.items():
                self._free[name] += count
