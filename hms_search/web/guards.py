"""What stands before each route of the web app, page and endpoint alike: names, password, paths, largest request."""

import base64
import binascii
import json
import secrets
from collections.abc import Collection, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path

from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hms_search.errors import ConfigError
from hms_search.servers import is_own_name


def credentials_of(text: str) -> tuple[str, str]:
    """Return the user and the password of ``user:password``; raises ConfigError where one of them is missing."""
    user, _, password = text.partition(":")
    if not (user and password):
        raise ConfigError("expected --auth user:password, with neither of them empty")
    return user, password


class OwnNames:
    """Let only requests to the names of a server through that listens on ``host`` and also goes by ``names``."""

    def __init__(self, app: ASGIApp, host: str, names: Collection[str]) -> None:
        self._app, self._host, self._names = app, host, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400 to a foreign Host header, or where there is none."""
        header = dict(scope.get("headers", ())).get(b"host", b"").decode("latin-1")
        if scope["type"] not in ("http", "websocket") or is_own_name(header, self._host, self._names):
            await self._app(scope, receive, send)
        else:
            refusal = PlainTextResponse("this server does not go by that name", HTTPStatus.BAD_REQUEST)
            await refusal(scope, receive, send)


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
        await PlainTextResponse("user and password, please", HTTPStatus.UNAUTHORIZED, challenge)(scope, receive, send)


class LargestRequest:
    """Refuse a request whose body is, or claims to be, larger than so many bytes, or which breaks off.

    Whoever reads such a body gets a MultiPartException, upon which the parsers of Starlette and Gradio delete what
    they have written of it; of a connection that ends Gradio's would keep the beginning.
    """

    def __init__(self, app: ASGIApp, n_bytes: int) -> None:
        self._app, self._n_bytes = app, n_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 to a claim that is too large, before the body, and to a body that turns out to be."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        too_large = f"expected a request of the maximum allowed size of {self._n_bytes} bytes or less"
        refusal = PlainTextResponse(too_large, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        claimed = dict(scope["headers"]).get(b"content-length", b"0")
        if not claimed.isdigit() or int(claimed) > self._n_bytes:
            await refusal(scope, receive, send)
            return
        received, complete = 0, False

        async def counted() -> Message:
            nonlocal received, complete
            message = await receive()
            if complete:  # later messages only say that the connection has ended
                return message
            received += len(message.get("body", b""))
            if received > self._n_bytes:
                raise MultiPartException(too_large)
            if message["type"] == "http.disconnect":
                raise MultiPartException("the request broke off")
            complete = not message.get("more_body", False)
            return message

        try:
            await self._app(scope, counted, send)
        except MultiPartException:  # of a body that is no form
            await refusal(scope, receive, send)


class OnlyPaths:
    """Answer only the paths that the app uses: Gradio's have more, some of which take files or run programs.

    A path that ends with a slash stands for all that begin with it.
    """

    def __init__(self, app: ASGIApp, paths: Sequence[str]) -> None:
        self._app = app
        self._whole = frozenset(paths)
        self._beginnings = tuple(path for path in paths if path.endswith("/") and path != "/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404 to any other path."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path in self._whole or path.startswith(self._beginnings):
            await self._app(scope, receive, send)
        else:
            await PlainTextResponse("there is no such page", HTTPStatus.NOT_FOUND)(scope, receive, send)


class OnlyUploads:
    """Let events of the page name only files in the folder of its uploads.

    Gradio (6.30) itself looks at that only in an app that it launches, not in one that is mounted: an event could name
    any file that this process may read, or an address that it would fetch.
    """

    def __init__(self, app: ASGIApp, path: str, folder: Path) -> None:
        self._app, self._path, self._folder = app, path, folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 400 to an event that names another file, or is none."""
        if scope["type"] != "http" or scope["path"] != self._path:
            await self._app(scope, receive, send)
            return
        body = b""
        async for part in Request(scope, receive).stream():
            body += part
            if len(body) > _LARGEST_EVENT:
                raise MultiPartException("expected a smaller event")
        try:
            named = list(_paths_in(json.loads(body)))
        except (ValueError, RecursionError):
            named = [""]
        if not all(isinstance(path, str) and self._is_upload(path) for path in named):
            await PlainTextResponse("expected files that were uploaded", HTTPStatus.BAD_REQUEST)(scope, receive, send)
            return
        given = False

        async def again() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body}

        await self._app(scope, again, send)

    def _is_upload(self, path: str) -> bool:
        try:
            return Path(path).is_absolute() and Path(path).resolve().is_relative_to(self._folder)
        except (OSError, ValueError):  # of a name that cannot be one
            return False


_LARGEST_EVENT = 2**20
"""Bytes: names of files, and the choices of the page."""


def _paths_in(value: object) -> Iterator[object]:
    """Yield every value under the key ``path`` in a JSON document."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        for part in value.values():
            yield from _paths_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from _paths_in(part)


def _given(scope: Scope) -> bytes:
    kind, _, encoded = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
    if kind.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return b""
