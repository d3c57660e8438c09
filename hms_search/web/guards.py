"""What stands before every route of the web app, page and endpoint alike: a password and the largest request."""

import base64
import binascii
import secrets

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hms_search.errors import ConfigError


def credentials_of(text: str) -> tuple[str, str]:
    """Return the user and the password of ``user:password``; raises ConfigError where one of them is missing."""
    user, _, password = text.partition(":")
    if not (user and password):
        raise ConfigError("expected --auth user:password, with neither of them empty")
    return user, password


class BasicAuth:
    """Let only requests with the user's name and password through (RFC 7617, HTTP Basic)."""

    def __init__(self, app: ASGIApp, user: str, password: str) -> None:
        self._app = app
        self._expected = f"{user}:{password}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 where the password is missing or wrong."""
        if scope["type"] != "http" or secrets.compare_digest(_given(scope), self._expected):
            await self._app(scope, receive, send)
            return
        challenge = {"WWW-Authenticate": 'Basic realm="hms-search", charset="UTF-8"'}
        await PlainTextResponse("user and password, please", 401, challenge)(scope, receive, send)


class LargestRequest:
    """Refuse a request whose body is, or claims to be, larger than so many bytes."""

    def __init__(self, app: ASGIApp, n_bytes: int) -> None:
        self._app, self._n_bytes = app, n_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 to a claim that is too large, before the body; end the connection where the body is larger."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        claimed = dict(scope["headers"]).get(b"content-length", b"0")
        if not claimed.isdigit() or int(claimed) > self._n_bytes:
            await PlainTextResponse(f"expected at most {self._n_bytes} bytes", 413)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message if received <= self._n_bytes else {"type": "http.disconnect"}

        await self._app(scope, counted, send)


def _given(scope: Scope) -> bytes:
    kind, _, encoded = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
    if kind.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return b""
