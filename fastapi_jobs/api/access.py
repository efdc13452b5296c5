"""Who may do what, see which jobs, and owns what they enqueue: the host's three hooks."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from inspect import isawaitable, iscoroutinefunction
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from fastapi_jobs.api.problems import Code, ProblemError
from fastapi_jobs.errors import InvalidOption, JobNotFound
from fastapi_jobs.handle import Job, job_of
from fastapi_jobs.listing import JobFilter
from fastapi_jobs.models import JobRecord
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.status import JobAction, legal_actions
from fastapi_jobs.store import queries

T = TypeVar("T")

SCOPE_KEY = "fastapi_jobs.access"


class Action(StrEnum):
    """What a request wants to do; the permission hook is asked about it."""

    CREATE = "create"
    LIST = "list"
    READ = "read"
    CANCEL = "cancel"
    RETRY = "retry"
    EDIT = "edit"
    DELETE = "delete"
    BULK = "bulk"
    """Change many jobs at once; the action itself is asked for each of them, too."""
    TASKS = "tasks"
    """See the tasks that HTTP may enqueue, with their parameters."""
    ALL_TASKS = "all_tasks"
    """See the other tasks as well."""
    STATS = "stats"
    QUEUES = "queues"
    PAUSE = "pause"
    RESUME = "resume"
    WORKERS = "workers"
    HEALTH = "health"
    """See the details of the health; the bare answer needs no permission."""
    LIMITS = "limits"
    """Change what the settings say of a queue; on the admin site."""
    QUIET = "quiet"
    """Let a worker claim nothing more; on the admin site."""
    AUDIT = "audit"
    """See who changed what; on the admin site."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which jobs a request may see; all others do not exist for it."""

    only: str | None = None
    is_empty: bool = False

    @classmethod
    def all(cls) -> "Scope":
        """Every job."""
        return cls()

    @classmethod
    def owner(cls, owner: object) -> "Scope":
        """The jobs that were stamped with this owner.

        Raises:
            InvalidOption: no owner is given; say Scope.none() or Scope.all().
        """
        if owner is None or owner == "":
            rule = "Scope.owner needs one. Say Scope.none() for nothing, Scope.all() for all."
            raise InvalidOption("owner", owner, rule)
        return cls(only=str(owner))

    @classmethod
    def none(cls) -> "Scope":
        """No job at all."""
        return cls(is_empty=True)

    @property
    def is_everything(self) -> bool:
        """Whether no job is outside."""
        return self.only is None and not self.is_empty

    def sees(self, owner: str | None) -> bool:
        """Whether a job of this owner is inside."""
        return not self.is_empty and (self.only is None or self.only == owner)

    def narrow(self, which: JobFilter) -> JobFilter | None:
        """The part of a list that is inside; None when nothing of it is."""
        if self.is_empty or (which.owner is not None and not self.sees(which.owner)):
            return None
        return which if self.only is None else replace(which, owner=self.only)


Permission = Callable[[Request, Action, Job[Any] | None], bool | Awaitable[bool]]
ScopeHook = Callable[[Request], Scope | Awaitable[Scope]]
OwnerHook = Callable[[Request], object | Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Access:
    """One router's FastAPIJobs and hooks; no hook allows everything and stamps nobody."""

    runtime: Runtime
    permission: Permission | None = None
    scope: ScopeHook | None = None
    owner: OwnerHook | None = None

    async def allows(self, request: Request, action: Action, job: Job[Any] | None = None) -> bool:
        """Ask the permission hook, which may raise an HTTPException of its own."""
        if self.permission is None:
            return True
        return bool(await ask(self.permission, request, action, job))

    async def demand(self, request: Request, action: Action, job: Job[Any] | None = None) -> None:
        """The same, but a refusal is a 403.

        Raises:
            ProblemError
        """
        if not await self.allows(request, action, job):
            raise forbidden(action)

    async def actions_on(self, request: Request, job: Job[Any]) -> list[JobAction]:
        """What may be asked of `job` now: what its status allows and the permission hook grants."""
        legal = legal_actions(job.status)
        if self.permission is None:
            return legal
        return [each for each in legal if await self.grants(request, Action(each.value), job)]

    async def grants(self, request: Request, action: Action, job: Job[Any] | None = None) -> bool:
        """The same as `allows`, where an answer of the hook's own is a no."""
        try:
            return await self.allows(request, action, job)
        except HTTPException:
            return False

    async def sees_everything(self, request: Request) -> bool:
        """Whether what concerns everybody may be shown: hosts, people, other owners' queues."""
        return (await self.scope_of(request)).is_everything

    async def sees_id(self, request: Request, job_id: UUID) -> bool:
        """Whether the job exists for this request."""
        record = await self.runtime.store.read(queries.get_job, job_id)
        return record is not None and (await self.scope_of(request)).sees(record.owner)

    async def scope_of(self, request: Request) -> Scope:
        """Which jobs the request may see."""
        if self.scope is None:
            return Scope.all()
        scope = await ask(self.scope, request)
        if not isinstance(scope, Scope):
            rule = "the scope hook returns Scope.all(), Scope.owner(...) or Scope.none()."
            raise TypeError(f"scope={scope!r}: {rule}")
        return scope

    async def owner_of(self, request: Request) -> str | None:
        """Whom the jobs of the request belong to."""
        owner = None if self.owner is None else await ask(self.owner, request)
        return None if owner is None else str(owner)

    async def find(self, request: Request, action: Action, job_id: UUID) -> JobRecord:
        """The job, if the request may see it and do `action` with it.

        Raises:
            ProblemError: 403; whoever may do nothing does not learn either which jobs exist.
            JobNotFound: there is none, or it is outside the scope.
        """
        scope = await self.scope_of(request)
        record = None
        if not scope.is_empty:
            record = await self.runtime.store.read(queries.get_job, job_id)
        if record is None or not scope.sees(record.owner):
            await self.demand(request, action)
            raise JobNotFound(job_id)
        await self.demand(request, action, job_of(record, self.runtime))
        return record


async def ask(hook: Callable[..., T | Awaitable[T]], *args: object) -> T:
    """Call a hook of the host; a `def` one off the event loop, as FastAPI does."""
    call = getattr(hook, "__call__", None)  # noqa: B004
    if iscoroutinefunction(hook) or iscoroutinefunction(call):
        answer = hook(*args)
    else:
        answer = await run_in_threadpool(hook, *args)
    return await answer if isawaitable(answer) else answer


def forbidden(action: Action, why: str = "") -> ProblemError:
    """The refusal of `action`."""
    return ProblemError(403, Code.FORBIDDEN, "Forbidden", f"You may not {_said(action)} here.{why}")


def _said(action: Action) -> str:
    match action:
        case Action.CREATE | Action.LIST:
            return f"{action} jobs"
        case Action.READ | Action.CANCEL | Action.RETRY | Action.EDIT | Action.DELETE:
            return f"{action} this job"
        case Action.PAUSE | Action.RESUME:
            return f"{action} queues"
        case Action.BULK:
            return "change many jobs at once"
        case Action.HEALTH:
            return "see the details"
        case Action.ALL_TASKS:
            return "see all tasks"
        case Action.LIMITS:
            return "change the limits of queues"
        case Action.QUIET:
            return "quiet workers"
        case Action.AUDIT:
            return "see who changed what"
        case _:
            return f"see the {action}"


async def access_of(request: Request) -> Access:
    """The access of the router that serves this request."""
    access: Access = request.scope[SCOPE_KEY]
    return access


AccessOf = Annotated[Access, Depends(access_of)]


class May:
    """A dependency: the request may do `action`, else 403."""

    def __init__(self, action: Action) -> None:
        self._action = action

    async def __call__(self, request: Request, access: AccessOf) -> None:
        await access.demand(request, self._action)


class MayForAll(May):
    """The same for what concerns every owner's jobs: the scope must be all of them, too."""

    async def __call__(self, request: Request, access: AccessOf) -> None:
        await super().__call__(request, access)
        if not await access.sees_everything(request):
            raise forbidden(self._action, " It concerns the jobs of every owner.")


class Found:
    """A dependency: the job of the path, which the request may do `action` with."""

    def __init__(self, action: Action) -> None:
        self._action = action

    async def __call__(
        self, request: Request, access: AccessOf, job_id: Annotated[UUID, Path(alias="id")]
    ) -> JobRecord:
        return await access.find(request, self._action, job_id)
