"""A parent for the tests: keeps one child busy and one idle, prints their ids, then hangs.

Usage: orphan_maker.py COMMAND… of the children.
"""

import asyncio
import sys

from fastapi_jobs.backends.children import ChildPool


async def main(command: list[str]) -> None:
    pool = ChildPool(command=command, size=2, hello=b"")
    await pool.start()
    ran = asyncio.Event()

    def mark(event: bytes) -> None:
        ran.set()

    calls = [asyncio.create_task(pool.call(frame, on_frame=mark)) for frame in (b"echo x", b"busy")]
    await asyncio.wait([calls[0]])
    await ran.wait()
    sys.stdout.write(" ".join(map(str, pool.pids)) + "\n")
    sys.stdout.flush()
    await asyncio.wait(calls)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
