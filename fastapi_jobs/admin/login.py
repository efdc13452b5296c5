"""Logging in with the users of the settings; a session is a signed cookie and holds no rights."""

import hashlib
import hmac
import logging
import secrets
from typing import Any
from urllib.parse import urlencode

from sqladmin.authentication import AuthenticationBackend
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fastapi_jobs.admin.guard import TOKEN, address_of
from fastapi_jobs.admin.passwords import is_password
from fastapi_jobs.admin.roles import User
from fastapi_jobs.admin.throttle import Throttle
from fastapi_jobs.api.guard import OPEN_ENVIRONMENTS
from fastapi_jobs.clock import utc_now
from fastapi_jobs.conf import Settings
from fastapi_jobs.conf.model import AdminUser

logger = logging.getLogger("fastapi_jobs.admin")

LONGEST_NAME = 100
COOKIE = "fastapi_jobs_admin"
INSIDE = "jobs_admin_inside"
"""Marks a request that the host's login let in."""
LIVE_HEADER = "x-jobs-live"
"""A page's own look at itself: it must not be sent elsewhere unseen."""

WRONG = "The name or the password is wrong."
NOBODY = (
    "Nobody may log in yet: the settings name no user. Make the hash of a password with "
    "`fastapi-jobs admin-password NAME`, and put what it prints into settings.toml."
)


class SettingsLogin(AuthenticationBackend):
    """The users of `admin.users`, each checked again at every request."""

    def __init__(self, settings: Settings) -> None:
        self._users = settings.admin.users
        self._session_seconds = settings.admin.session_seconds
        super().__init__(
            secret_key=_session_key(settings),
            session_cookie=COOKIE,
            max_age=round(settings.admin.session_seconds),
            same_site="lax",
            https_only=settings.environment not in OPEN_ENVIRONMENTS,
        )
        self._throttle = Throttle()

    @property
    def hint(self) -> str:
        """What the login page says before any try."""
        return "" if self._users else NOBODY

    async def login(self, request: Request) -> Response | bool:
        """Check a name and a password; False is wrong, and the reason is in the request's state."""
        form = await request.form()
        name, password = str(form.get("username", "")), str(form.get("password", ""))
        keys = (f"user:{name[:LONGEST_NAME]}", f"from:{address_of(request)}")
        wait = self._throttle.wait(*keys)
        if wait > 0:
            request.state.login_error = f"Too many tries. Try again in {wait:.0f} s."
            request.state.login_status = 429
            return False
        # Counted before it is known: many tries at the same moment are many tries.
        self._throttle.failed(*keys)
        user = self._users.get(name)
        if not await self._is_right(user, password) or user is None:
            logger.warning("a login as %r from %s failed", name[:LONGEST_NAME], address_of(request))
            request.state.login_error = WRONG
            return False
        self._throttle.succeeded(*keys)
        until = utc_now().timestamp() + self._session_seconds
        request.session.clear()
        request.session.update(user=name, stamp=_stamp(user.password_hash), until=until)
        request.session[TOKEN] = secrets.token_urlsafe(24)
        logger.info("%r logged in from %s", name, address_of(request))
        return True

    async def _is_right(self, user: AdminUser | None, password: str) -> bool:
        # A name that nobody has costs as much work as one that somebody has.
        others = (each.password_hash for each in self._users.values())
        hashed = next(others, None) if user is None else user.password_hash
        return hashed is not None and await is_password(password, hashed)

    async def logout(self, request: Request) -> Response | bool:
        """Forget who this was."""
        request.session.clear()
        return True

    async def authenticate(self, request: Request) -> Response | bool:
        """Who this is, or the way to the login page and back."""
        user = self.user_of(request)
        if user is None:
            return to_login(request)
        request.state.admin_user = user
        return True

    def user_of(self, request: Request) -> User | None:
        """The user of the session, by the settings of today: None for nobody."""
        name = request.session.get("user")
        user = self._users.get(name) if isinstance(name, str) else None
        if user is None or not isinstance(name, str):
            return None
        if not hmac.compare_digest(request.session.get("stamp", ""), _stamp(user.password_hash)):
            return None
        # The cookie's own age begins again whenever the session changes.
        if request.session.get("until", 0) <= utc_now().timestamp():
            return None
        return User(name, user.role)

    async def get_user_id(self, request: Request) -> Any:
        """The name, for SQLAdmin."""
        user = self.user_of(request)
        return None if user is None else user.name


class HostLogin(AuthenticationBackend):
    """The host's own login in front of our site: a no leads to our login page, by a path."""

    def __init__(self, theirs: AuthenticationBackend) -> None:
        self._theirs = theirs
        self.middlewares = theirs.middlewares

    async def login(self, request: Request) -> Response | bool:
        """Theirs."""
        return await self._theirs.login(request)

    async def logout(self, request: Request) -> Response | bool:
        """Theirs."""
        return await self._theirs.logout(request)

    async def authenticate(self, request: Request) -> Response | bool:
        """Theirs; SQLAdmin itself answers a no by an absolute address, which a proxy may spoil."""
        answer = await self._theirs.authenticate(request)
        if answer is True:
            setattr(request.state, INSIDE, True)
            return True
        is_way = isinstance(answer, Response) and LIVE_HEADER not in request.headers
        return answer if is_way else to_login(request)

    async def get_user_id(self, request: Request) -> Any:
        """Theirs."""
        return await self._theirs.get_user_id(request)


def to_login(request: Request) -> Response:
    """To the login page, and after it to the page that was wanted."""
    if LIVE_HEADER in request.headers:
        return Response("Log in again.", status_code=401)
    root, query = request.scope.get("root_path", ""), ""
    if request.method == "GET":
        path = request.url.path.removeprefix(root)
        wanted = f"{path}?{request.url.query}" if request.url.query else path
        query = "" if wanted in ("", "/") else f"?{urlencode({'next': wanted})}"
    return RedirectResponse(f"{root}/login{query}", status_code=303)


def _stamp(password_hash: str) -> str:
    """Changes with the password, so that a new one ends the old sessions."""
    return hashlib.sha256(f"stamp {password_hash}".encode()).hexdigest()[:16]


def _session_key(settings: Settings) -> str:
    """The same in all processes with these users: their salted hashes are secret and random."""
    users = settings.admin.users
    if not users:
        return secrets.token_hex()
    hashes = "\n".join(f"{name} {users[name].password_hash}" for name in sorted(users))
    return hashlib.sha256(f"fastapi_jobs session\n{hashes}".encode()).hexdigest()
