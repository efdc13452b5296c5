"""Passwords of the admin site, hashed by argon2."""

import asyncio
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 8
AT_ONCE = 2
"""How many are checked at a time: each takes 64 MB and a core for a moment, on purpose."""

_turns = asyncio.Semaphore(AT_ONCE)


def hash_password(password: str) -> str:
    """The hash that the settings hold."""
    return PasswordHasher().hash(password)


async def is_password(password: str, hashed: str | None) -> bool:
    """Whether this is the password of that hash; without one it takes as long to say no."""
    async with _turns:
        return await asyncio.to_thread(_verify, password, hashed)


def _verify(password: str, hashed: str | None) -> bool:
    try:
        return PasswordHasher().verify(hashed or _nobodys(), password) and hashed is not None
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys() -> str:
    return hash_password("nobody's")
