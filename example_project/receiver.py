"""A flaky receiver of webhooks, so that there is something to retry: it refuses at first."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException

from example_project.tasks.webhooks import OrderPlaced

REFUSALS = 2
"""How many tries of one delivery are refused before it is accepted."""

router = APIRouter(prefix="/receiver", include_in_schema=False)
"""Somebody else's service, so it is not in the shop's own OpenAPI."""

_tries: Counter[str] = Counter()
_accepted: dict[str, OrderPlaced] = {}


@router.post("")
async def receive(
    event: OrderPlaced, idempotency_key: Annotated[str, Header()]
) -> dict[str, bool | int]:
    """Refuse the first tries, accept the next one; a key that was accepted is not taken twice."""
    _tries[idempotency_key] += 1
    tried = _tries[idempotency_key]
    if tried == 1:
        raise HTTPException(503, "Busy.", headers={"Retry-After": "0.3"})
    if tried <= REFUSALS:
        raise HTTPException(500, "Something broke.")
    known = idempotency_key in _accepted
    _accepted[idempotency_key] = event
    return {"accepted": True, "known": known, "tries": tried}


@router.get("")
async def accepted() -> dict[str, dict[str, OrderPlaced | int]]:
    """Every delivery since this process started, with the number of its tries."""
    return {key: {"event": event, "tries": _tries[key]} for key, event in _accepted.items()}
