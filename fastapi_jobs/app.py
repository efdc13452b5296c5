"""`FastAPIJobs`: the app that a host adds to its FastAPI."""

import asyncio
import builtins
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fastapi import APIRouter, FastAPI
from fastapi.params import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from fastapi_jobs.admin.mounting import mount_admin, register_admin
from fastapi_jobs.api.access import Access, OwnerHook, Permission, ScopeHook
from fastapi_jobs.api.router import make_router
from fastapi_jobs.api.wiring import wire
from fastapi_jobs.conf import Settings, from_json, load
from fastapi_jobs.current import announce, choose
from fastapi_jobs.enqueueing import announce as tell_of
from fastapi_jobs.enqueueing import new_job, run_immediate
from fastapi_jobs.handle import Job, get_job, get_job_sync, job_of, job_of_inserted, refuse_on_loop
from fastapi_jobs.in_session import insert_in_session, refuse_deadlock
from fastapi_jobs.listing import EVERY_JOB, JobFilter, checked_limit
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.store import queries
from fastapi_jobs.tasks import Signature

if TYPE_CHECKING:
    from sqladmin import Admin
    from sqladmin.authentication import AuthenticationBackend


class FastAPIJobs:
    """Background jobs for one FastAPI app (or script), as its settings say.

    `settings` is a path, a loaded Settings or None to look for `settings.toml`; keyword arguments
    win over both. `dispatch=False` makes a process that only enqueues.

    Raises:
        SettingsError: all that is wrong with the settings, at once.
    """

    def __init__(
        self,
        settings: str | Path | Settings | None = None,
        *,
        dispatch: bool | None = None,
        **overrides: Any,
    ) -> None:
        self.runtime = Runtime(load(settings, **overrides), dispatch=dispatch)
        self._wired: weakref.WeakSet[FastAPI] = weakref.WeakSet()
        announce(self.runtime)

    @property
    def settings(self) -> Settings:
        """The settings in force: checked, frozen."""
        return self.runtime.settings

    def init_app(
        self,
        app: FastAPI,
        *,
        api: bool = True,
        admin: bool = True,
        permission: Permission | None = None,
        scope: ScopeHook | None = None,
        owner: OwnerHook | None = None,
    ) -> None:
        """Add everything to `app`: our lifespan inside its own, and the API at `api_prefix`.

        Again for the same app, it does nothing. A mounted app has no lifespan of its own: there,
        enter `jobs.lifespan()` in the outer app's. The hooks are those of `router`; the admin site
        has its own users and roles, see `mount_admin`.

        Raises:
            SettingsError: the API has no permission hook, and this environment needs one.
        """
        if app in self._wired:
            return
        if api:
            app.include_router(self.router(permission=permission, scope=scope, owner=owner))
        if admin and self.settings.admin.enabled:
            self.mount_admin(app)
        wire(app, self.runtime, self.lifespan)
        self._wired.add(app)

    def router(
        self,
        *,
        prefix: str | None = None,
        permission: Permission | None = None,
        scope: ScopeHook | None = None,
        owner: OwnerHook | None = None,
        dependencies: Sequence[Depends] = (),
        tags: Sequence[str | Enum] = ("jobs",),
    ) -> APIRouter:
        """The HTTP API, at `prefix` or else `api_prefix`.

        `permission(request, action, job)` says yes or no (403), `scope(request)` which jobs exist
        for it (else 404), `owner(request)` whom new jobs belong to; each sync or async.

        Raises:
            SettingsError: there is no permission hook, and this environment needs one.
        """
        return make_router(
            Access(self.runtime, permission, scope, owner),
            prefix=self.settings.api_prefix if prefix is None else prefix,
            dependencies=dependencies,
            tags=tags,
        )

    def mount_admin(
        self,
        app: FastAPI,
        *,
        prefix: str | None = None,
        login: "AuthenticationBackend | None" = None,
        permission: Permission | None = None,
    ) -> None:
        """The admin site as a site of its own, at `prefix` or else `admin_prefix`.

        Who may log in is in the settings, `admin.users`, each with a role; or `login`, an
        authentication backend of SQLAdmin's, decides. `permission(request, action, job)` may
        refuse what the role grants.
        """
        mount_admin(
            app,
            self.runtime,
            prefix=self.settings.admin_prefix if prefix is None else prefix,
            login=login,
            permission=permission,
        )

    def register_admin(self, admin: "Admin", *, permission: Permission | None = None) -> None:
        """Our pages inside the host's own SQLAdmin, behind its login.

        `permission(request, action, job)` says who may do what there; without it, whoever logs in
        may do everything.

        Raises:
            SettingsError: that SQLAdmin has no login, and this environment needs one.
        """
        register_admin(admin, self.runtime, permission)

    async def startup(self) -> None:
        """Open the store and, unless `dispatch` is off, begin to run jobs on this event loop.

        Raises:
            NotMigrated, StoreUnavailable, SettingsError
        """
        choose(self.runtime)
        await self.runtime.start()

    async def shutdown(self) -> None:
        """Drain, give back what is left, close. Safe to repeat."""
        await self.runtime.stop()

    @asynccontextmanager
    async def lifespan(self, _app: Any = None) -> AsyncIterator[None]:
        """`startup` and `shutdown` around the host's own lifespan."""
        await self.startup()
        try:
            yield
        finally:
            await self.shutdown()

    async def __aenter__(self) -> "FastAPIJobs":
        await self.startup()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.shutdown()

    def __enter__(self) -> "FastAPIJobs":
        """For scripts that enqueue: opens the store, runs nothing."""
        choose(self.runtime)
        self.runtime.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.runtime.close()

    async def enqueue_many(
        self, signatures: Sequence[Signature[Any]], *, session: AsyncSession | Session | None = None
    ) -> list[Job[Any]]:
        """Store many jobs in one transaction, all or none; with `session`, in the host's.

        Raises:
            EnqueueError, StoreUnavailable: nothing was stored.
        """
        new = [new_job(self.runtime, s.definition, s.using, s.args, s.kwargs) for s in signatures]
        if session is not None:
            inserted = await insert_in_session(self.runtime, session, new)
        else:
            refuse_deadlock(self.runtime)
            inserted = await self.runtime.insert_many(new) if new else []
            tell_of(self.runtime, new, inserted)
            await run_immediate(self.runtime, new, inserted)
        return [
            job_of_inserted(job, done, self.runtime, uncommitted=session is not None)
            for job, done in zip(new, inserted, strict=True)
        ]

    def enqueue_many_sync(self, signatures: Sequence[Signature[Any]]) -> list[Job[Any]]:
        """The same, blocking and without a session."""
        refuse_on_loop("enqueue_many")
        return asyncio.run(self.enqueue_many(signatures))

    async def get(self, job_id: UUID) -> Job[Any]:
        """The job of this id.

        Raises:
            JobNotFound, StoreUnavailable
        """
        return await get_job(self.runtime, job_id)

    def get_sync(self, job_id: UUID) -> Job[Any]:
        """The same, blocking."""
        return get_job_sync(self.runtime, job_id)

    async def list(
        self, which: JobFilter = EVERY_JOB, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[list[Job[Any]], str | None]:
        """One page of jobs, newest first, and the cursor of the next one; None is the end.

        `limit` is 1 to 1,000. A page may be short and still have a next one.

        Raises:
            InvalidQuery, InvalidCursor, StoreUnavailable
        """
        page = await self.runtime.store.read(
            queries.list_jobs, which, limit=checked_limit(limit), cursor=cursor
        )
        return [job_of(record, self.runtime) for record in page.items], page.next_cursor

    def list_sync(
        self, which: JobFilter = EVERY_JOB, *, limit: int = 50, cursor: str | None = None
    ) -> tuple[builtins.list[Job[Any]], str | None]:
        """The same, blocking."""
        page = self.runtime.store.read_sync(
            queries.list_jobs, which, limit=checked_limit(limit), cursor=cursor
        )
        return [job_of(record, self.runtime) for record in page.items], page.next_cursor


def adopt_settings(text: str) -> FastAPIJobs:
    """The current FastAPIJobs of a child process: it enqueues by the parent's settings."""
    global _adopted
    _adopted = FastAPIJobs(from_json(text), dispatch=False)
    choose(_adopted.runtime)
    return _adopted


_adopted: FastAPIJobs | None = None
