"""What keeps other sites out: where a request comes from, its token, and our headers."""

import hmac
import secrets
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN = "csrf"
TOKEN_HEADER = "x-csrf-token"

POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def token_of(request: Request) -> str:
    """The token that this session's forms carry; empty where there is no session."""
    if "session" not in request.scope:
        return ""
    token: str = request.session.setdefault(TOKEN, secrets.token_urlsafe(24))
    return token


async def refuse_strangers(request: Request) -> None:
    """A change must come from a page of ours: by its origin, and by the token of its session.

    Raises:
        HTTPException: 403.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        is_ours = site == "same-origin"
    else:
        origin = request.headers.get("origin")
        is_ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not is_ours:
        raise HTTPException(403, "This came from another site. Nothing was changed.")
    if "session" not in request.scope:
        return
    given = request.headers.get(TOKEN_HEADER)
    if given is None:
        given = str((await request.form()).get(TOKEN, ""))
    expected = request.session.get(TOKEN, "")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise HTTPException(
            403, "This form is too old. Nothing was changed: load the page again, and repeat it."
        )


def refuse_embedding(request: Request) -> None:
    """Another site may lead a person here, but not load a page of ours into one of its own.

    Raises:
        HTTPException: 403.
    """
    is_foreign = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
    is_led = (
        request.headers.get("sec-fetch-mode") == "navigate"
        and request.headers.get("sec-fetch-dest") == "document"
    )
    if is_foreign and not is_led:
        raise HTTPException(403, "Another site asked for this page, not you.")


class SecurityHeaders:
    """ASGI middleware: our headers on every answer; only static files are kept by browsers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


def address_of(request: Request) -> str | None:
    """Where a request comes from, as the server knows it."""
    client: Any = request.client
    return None if client is None else str(client.host)
