"""What every page and every change goes through: who it is, what they may, and what went wrong."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from pydantic_core import to_json
from sqladmin import BaseView, Flash, expose
from sqladmin.authentication import get_current_user_id
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fastapi_jobs.admin.guard import address_of, refuse_embedding, refuse_strangers
from fastapi_jobs.admin.looks import Looks
from fastapi_jobs.admin.roles import User
from fastapi_jobs.api.access import Action, Permission, ask, forbidden
from fastapi_jobs.api.problems import ProblemError, problem_of
from fastapi_jobs.clock import utc_now
from fastapi_jobs.current import choose, unchoose
from fastapi_jobs.errors import FastAPIJobsError, JobNotFound, StoreUnavailable
from fastapi_jobs.handle import Job
from fastapi_jobs.models import AuditRecord
from fastapi_jobs.runtime import Runtime
from fastapi_jobs.store.audit import Audit, Audited
from fastapi_jobs.store.transaction import Operation
from fastapi_jobs.wording import cut

R = TypeVar("R")
LONGEST_FLASH = 1000
LONGEST = 200
"""Characters of a name in the audit table."""

Handler = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Site:
    """One admin site: whose jobs it shows, and the host's say in who may do what."""

    runtime: Runtime
    title: str
    permission: Permission | None
    is_own: bool
    """False: our pages stand in the host's SQLAdmin, with its layout and its login."""
    looks: Looks = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "looks", Looks(self.runtime))

    def url(self, request: Request, path: str, query: Mapping[str, Any] | None = None) -> str:
        """An address on this site, without a host: a proxy may know another one than we do."""
        text = urlencode(
            {key: value for key, value in (query or {}).items() if value not in (None, "", [])},
            doseq=True,
        )
        return f"{request.scope.get('root_path', '')}{path}{'?' if text else ''}{text}"

    def user_of(self, request: Request) -> User | None:
        """Who is logged in with a role of ours."""
        user: User | None = getattr(request.state, "admin_user", None)
        return user

    def who(self, request: Request) -> str:
        """The name that is noted for a change."""
        user = self.user_of(request)
        return user.name if user is not None else str(get_current_user_id(request) or "somebody")

    async def may(self, request: Request, action: Action, job: Job[Any] | None = None) -> bool:
        """Whether the role and the host's permission hook both grant it."""
        user = self.user_of(request)
        if user is not None and not user.may(action):
            return False
        if self.permission is None:
            return True
        try:
            return bool(await ask(self.permission, request, action, job))
        except HTTPException:
            return False

    async def demand(self, request: Request, action: Action, job: Job[Any] | None = None) -> None:
        """The same; a no is a 403.

        Raises:
            HTTPException
        """
        if not await self.may(request, action, job):
            raise HTTPException(403, forbidden(action).detail)

    async def write(
        self, request: Request, change: Operation[R], action: Action, target: str, **details: Any
    ) -> R:
        """Make a change, and note in the same transaction who made it.

        Raises:
            FastAPIJobsError: nothing was changed, and nothing noted.
        """
        entry = self._entry(request, self.who(request), action.value, target, details)
        done = await self.runtime.store.write(Audited(change, entry))
        self.looks.forget()
        return done

    def note(self, request: Request, who: str, what: str) -> None:
        """Note what is no change of the store, such as a login; nobody waits for it."""
        store = self.runtime.store
        if store.is_open:
            store.send(Audit(self._entry(request, who, what, "", {})))

    def _entry(
        self, request: Request, who: str, action: str, target: str, details: Mapping[str, Any]
    ) -> AuditRecord:
        return AuditRecord(
            at=utc_now(),
            # PostgreSQL keeps no NUL, and a stranger may have typed one.
            who=who.replace("\x00", "")[:LONGEST],
            action=action,
            target=target[:LONGEST] or None,
            details=to_json(details).decode() if details else None,
            address=address_of(request),
        )


class Page(BaseView):
    """The base of our pages."""

    site: ClassVar[Site]
    path: ClassVar[str]
    """Where its first page is, on the site."""
    action: ClassVar[Action | None] = None
    """What its first page needs."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        ours = [each for each in vars(cls).values() if hasattr(each, "action")]
        cls.action = next((each.action for each in ours if each.path == cls.path), cls.action)

    def is_visible(self, request: Request) -> bool:
        """In the menu of whoever may see it, as far as roles say."""
        user = self.site.user_of(request)
        return user is None or self.action is None or user.may(self.action)

    def is_current(self, request: Request) -> bool:
        """Whether the page that is shown belongs to it."""
        here = request.url.path.removeprefix(request.scope.get("root_path", ""))
        return here == self.path or here.startswith(f"{self.path}/")

    async def render(self, request: Request, template: str, **context: Any) -> Response:
        """A page of ours, in our layout or in the host's."""
        layout = "jobs_admin/layout.html" if self.site.is_own else "jobs_admin/in_host.html"
        return await self.templates.TemplateResponse(
            request,
            f"jobs_admin/{template}",
            {"layout": layout, "site": self.site, "user": self.site.user_of(request), **context},
        )

    async def back(self, request: Request, path: str) -> Response:
        """To the page that a form came from, or to `path`."""
        wanted = str((await request.form()).get("back", ""))
        is_ours = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
        return RedirectResponse(wanted if is_ours else self.site.url(request, path), 303)


def page(path: str, action: Action) -> Callable[[Handler], Any]:
    """A page for whoever may do `action`."""
    return _exposed(path, "GET", action)


def change(path: str, action: Action) -> Callable[[Handler], Any]:
    """A change by whoever may do `action`: a POST from a page of ours.

    An action that is illegal by now, or a value that breaks a rule, is told on the page before.
    """
    return _exposed(path, "POST", action)


def _exposed(path: str, method: str, action: Action) -> Callable[[Handler], Any]:
    def wrap(handler: Handler) -> Any:
        @wraps(handler)
        async def answer(self: Page, request: Request) -> Response:
            if method == "POST":
                await refuse_strangers(request)
            else:
                refuse_embedding(request)
            await self.site.demand(request, action)
            runtime = self.site.runtime
            chosen = choose(runtime)
            try:
                if not runtime.store.is_open:
                    # An app whose lifespan did not run opens its store when first asked.
                    await asyncio.get_running_loop().run_in_executor(None, runtime.open)
                return await handler(self, request)
            except (FastAPIJobsError, ProblemError) as error:
                return await _told(self, request, error, is_change=method == "POST")
            finally:
                unchoose(chosen)

        answer.action, answer.path = action, path  # type: ignore[attr-defined]
        name = f"fastapi_jobs_{handler.__name__}"
        return expose(path, methods=[method], identity=name, include_in_schema=False)(answer)

    return wrap


async def _told(
    view: Page, request: Request, error: FastAPIJobsError | ProblemError, *, is_change: bool
) -> Response:
    if isinstance(error, StoreUnavailable):
        said = f"{error} The page works again as soon as the database does."
        raise HTTPException(503, said, {"Retry-After": f"{max(math.ceil(error.retry_after), 1)}"})
    if isinstance(error, JobNotFound):
        raise HTTPException(404, f"{error} It may have been deleted, or its time to be kept ended.")
    problem = error if isinstance(error, ProblemError) else problem_of(error)
    if problem is None:
        raise error
    if not is_change:
        raise problem
    # The message travels in a cookie, which browsers drop when it is long.
    Flash.error(request, cut(sentence_of(problem), LONGEST_FLASH))
    return await view.back(request, "/")


def sentence_of(problem: ProblemError) -> str:
    """What is wrong, and with which field."""
    fields = [f"{each['field']}: {each['message']}" for each in problem.extras.get("errors", ())]
    return " ".join([problem.detail, *fields])
