"""Passwords of the admin site, hashed by argon2."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 8
AT_ONCE = 2
"""How many are checked at a time: each takes 64 MB and a core for a moment, on purpose."""

_turns = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fastapi_jobs_password")


def hash_password(password: str) -> str:
    """The hash that the settings hold."""
    return PasswordHasher().hash(password)


async def is_password(password: str, hashed: str) -> bool:
    """Whether this is the password of that hash."""
    return await asyncio.get_running_loop().run_in_executor(_turns, _verify, password, hashed)


def _verify(password: str, hashed: str) -> bool:
    try:
        return PasswordHasher().verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False
