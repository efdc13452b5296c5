"""The admin site of an app: over ASGI for what HTTP answers, over TCP for a browser."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import uvicorn
from argon2 import PasswordHasher
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Client, Response

from fastapi_jobs import FastAPIJobs
from fastapi_jobs.admin.login import COOKIE
from fastapi_jobs.current import choose
from tests.servers import free_port, wait_until

T = TypeVar("T")

NAMES = {"viewer": "vera", "operator": "otto", "admin": "anna"}
PASSWORD = "a quiet harbour"
_hash = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash
USERS = {name: {"password_hash": _hash(PASSWORD), "role": role} for role, name in NAMES.items()}
"""A user of each role; the hashes are cheap, since tests log in often."""

QUICK: dict[str, Any] = {
    "migrate": True,
    "poll_seconds": 0.05,
    "shutdown_seconds": 0.1,
    "admin": {"users": USERS},
}


def make_jobs(database_url: str, **overrides: Any) -> FastAPIJobs:
    """A FastAPIJobs that notices things soon, with a user of each role."""
    return FastAPIJobs(database_url=database_url, **QUICK | overrides)


class Visitor(AsyncClient):
    """Somebody at the admin site, by HTTP: paths begin at its prefix."""

    token = ""

    async def log_in(self, name: str, password: str = PASSWORD, **query: str) -> Response:
        """Send the form of the login page."""
        await self.load_token("/login")
        fields = {"username": name, "password": password, "csrf": self.token}
        answer = await self.post("/login", params=query, data=fields)
        if answer.status_code == 303:
            await self.load_token("/overview")
        return answer

    async def load_token(self, path: str) -> None:
        """Take the token of the forms from a page."""
        page = (await self.get(path)).text
        _, _, after = page.partition('name="csrf" value="')
        self.token = after.partition('"')[0]

    async def change(self, path: str, /, **fields: Any) -> Response:
        """Send a form of a page, with its token."""
        return await self.post(path, data={"csrf": self.token, **fields})


@dataclass
class Site:
    """An app with an admin site, and its visitors."""

    app: FastAPI
    jobs: FastAPIJobs
    prefix: str = "/jobs-admin"
    base: str = "http://test"

    @asynccontextmanager
    async def visitor(self, role: str | None = None, **options: Any) -> AsyncIterator[Visitor]:
        """Nobody in particular, or a user of this role who has logged in."""
        transport = ASGITransport(app=self.app, **options)
        async with Visitor(transport=transport, base_url=self.base + self.prefix) as visitor:
            if role is not None:
                answer = await visitor.log_in(NAMES[role])
                assert answer.status_code == 303, answer.text
            yield visitor


@asynccontextmanager
async def started(jobs: FastAPIJobs, app: FastAPI | None = None) -> AsyncIterator[Site]:
    """The site of these jobs in a started app, which has been wired if one is given."""
    if app is None:
        app = FastAPI()
        jobs.init_app(app)
    async with app.router.lifespan_context(app):
        yield Site(app, jobs)


@dataclass
class Served:
    """An app that a browser can reach, on an event loop in a thread of its own."""

    app: FastAPI
    jobs: FastAPIJobs
    url: str
    loop: asyncio.AbstractEventLoop

    alive: ClassVar[int] = 0
    """How many are served now: their threads belong to nobody's test."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the app's event loop, such as `task.enqueue()`."""

        async def chosen() -> T:
            choose(self.jobs.runtime)
            return await work

        return asyncio.run_coroutine_threadsafe(chosen(), self.loop).result(60)

    def cookie_of(self, role: str) -> dict[str, Any]:
        """The session of a user of this role, for a browser."""
        kept = self.__dict__.setdefault("cookies", {})
        if role not in kept:
            with Client(base_url=self.url, timeout=60) as client:
                page = client.get("/jobs-admin/login").text
                token = page.partition('name="csrf" value="')[2].partition('"')[0]
                fields = {"username": NAMES[role], "password": PASSWORD, "csrf": token}
                answer = client.post("/jobs-admin/login", data=fields)
                assert answer.status_code == 303, answer.text
                kept[role] = client.cookies[COOKIE]
        return {"name": COOKIE, "value": kept[role], "url": self.url}


@contextmanager
def serving(app: FastAPI, jobs: FastAPIJobs, **options: Any) -> Iterator[Served]:
    """Serve an app over TCP."""
    port = free_port()
    config = uvicorn.Config(app, port=port, log_level="warning", access_log=False, **options)
    server = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(),))
    thread.start()
    Served.alive += 1
    try:
        wait_until(lambda: server.started or not thread.is_alive(), 60)
        assert server.started, "the app did not start: see its log"
        yield Served(app, jobs, f"http://127.0.0.1:{port}", loop)
    finally:
        server.should_exit = True
        thread.join(60)
        loop.close()
        Served.alive -= 1
