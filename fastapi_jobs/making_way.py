"""When a busy process stops claiming, so that a suspect gets its turn alone (law 6)."""

import time

from fastapi_jobs.store import Store
from fastapi_jobs.store.lanes import ClaimRules, suspect_waits

DRAIN_SECONDS = 10.0
REST_SECONDS = 30.0
LOOK_SECONDS = 1.0
"""While suspects wait, a busy process stops claiming for DRAIN_SECONDS, then works on as usual for
REST_SECONDS: a long job cannot hold up everything, nor can a busy day starve a suspect. It looks
for suspects every LOOK_SECONDS."""


class MakingWay:
    """The turns of one process; everything here runs on its event loop."""

    def __init__(self, store: Store, rules: ClaimRules) -> None:
        self._store, self._rules = store, rules
        self._since: float | None = None
        self._rests_until = 0.0

    @property
    def is_made(self) -> bool:
        """Whether nothing is claimed for now."""
        return self._since is not None

    async def is_wanted(self) -> bool:
        """Look whether a suspect waits, as often as is good; then, whether to claim nothing."""
        now = time.monotonic()
        if self._since is None:
            if now < self._rests_until:
                return False
            self._rests_until = now + LOOK_SECONDS
            if not await self._store.read(suspect_waits, self._rules):
                return False
            self._since = now
        if now - self._since < DRAIN_SECONDS:
            return True
        self._since, self._rests_until = None, now + REST_SECONDS
        return False

    def end(self) -> None:
        """Nothing runs here any more: the suspect may come."""
        self._since = None
