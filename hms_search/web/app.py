"""The web app as a whole: the page and the endpoint behind one password, and the server that they run in."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from pathlib import Path
from threading import Thread

import gradio as gr
import uvicorn
from fastapi import FastAPI
from gradio.utils import get_upload_folder

from hms_search.errors import ConfigError
from hms_search.host_memory import return_freed_memory
from hms_search.inference.model_folder import ModelFolder
from hms_search.inference.predictor import Predictor
from hms_search.models.device import device_of
from hms_search.servers import address_of, family_of
from hms_search.web.answers import Respondent
from hms_search.web.card import INTENDED_USE, card_html
from hms_search.web.endpoint import predict_router
from hms_search.web.guards import BasicAuth, LargestRequest, OnlyPaths, OnlyUploads, OwnNames, credentials_of
from hms_search.web.limits import MIB
from hms_search.web.line import MainThreadLine
from hms_search.web.page import THEME, build_page

_HERE = "127.0.0.1"
_EVENTS = "/gradio_api/queue/join"
_PATHS = (
    *("/", "/api/predict", "/openapi.json", "/config", "/theme.css", "/assets/", "/static/", "/svelte/"),
    *("/favicon.ico", "/manifest.json", "/robots.txt"),
    *("/gradio_api/startup-events", "/gradio_api/heartbeat/", "/gradio_api/upload", "/gradio_api/upload_progress"),
    *(_EVENTS, "/gradio_api/queue/data", "/gradio_api/cancel", "/gradio_api/reset"),
)
"""What the page asks for, and the endpoint."""
_OVERHEAD = MIB
"""Of a request beside its files: headers of their parts."""
_PATIENCE_S = 2
"""How long an ended app waits for its answers: a page that is open somewhere keeps its connection for ever."""


def build_app(
    model: ModelFolder,
    *,
    device: str = "auto",
    auth: str | None = None,
    host: str = _HERE,
    names: Collection[str] = (),
    line: Executor | None = None,
) -> FastAPI:
    """Return the app of a model: the page at ``/`` and all of :func:`build_endpoint`; its batches wait in ``line``."""
    respondent = Respondent(Predictor(model, device_of(device)), line=line)
    app = build_endpoint(respondent, auth=auth, host=host, names=names)
    gr.mount_gradio_app(
        app,
        build_page(respondent, card_html(model)),
        path="/",
        theme=THEME,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        max_file_size=respondent.limits.file_bytes,
    )
    return app


def build_endpoint(
    respondent: Respondent, *, auth: str | None = None, host: str = _HERE, names: Collection[str] = ()
) -> FastAPI:
    """Return the app without the page: ``POST /api/predict`` and ``/openapi.json``, behind the guards of both.

    ``auth``, ``user:password``, is asked for everything. Only requests to this machine's own names, where the app
    listens on ``host``, and to ``names`` are let through: else a page from elsewhere could reach the app by a name
    that it points here. FastAPI's own pages of documentation are left out, they load scripts from a CDN.
    """
    app = FastAPI(title="hms-search", description=INTENDED_USE, docs_url=None, redoc_url=None)
    app.include_router(predict_router(respondent, INTENDED_USE))
    app.add_middleware(OnlyUploads, path=_EVENTS, folder=Path(get_upload_folder()))
    app.add_middleware(OnlyPaths, paths=_PATHS)
    app.add_middleware(LargestRequest, n_bytes=respondent.limits.total_bytes + _OVERHEAD)
    if auth is not None:
        user, password = credentials_of(auth)
        app.add_middleware(BasicAuth, user=user, password=password)
    app.add_middleware(OwnNames, host=host, names=names)
    return app


def serve(
    model: ModelFolder,
    *,
    address: tuple[str, int],
    auth: str | None,
    device: str,
    names: Collection[str] = (),
    on_ready: Callable[[str], None],
) -> None:
    """Serve a model's app at a host and port until Ctrl-C or SIGTERM; port 0 takes a free one.

    ``on_ready`` gets the address as a URL.

    To be called from the process's main thread, which predicts; requests are received in another. The app answers to
    this machine's own names (:func:`hms_search.servers.is_own_name`) and to ``names``. Raises ConfigError where the
    address cannot be listened on.
    """
    line, (host, port) = MainThreadLine(), address
    with _listening(host, port) as listener:
        app = build_app(model, device=device, auth=auth, host=host, names=names, line=line)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_PATIENCE_S))
        logging.getLogger("uvicorn.error").addFilter(_no_part_of_the_end)
        receiving = Thread(target=server.run, kwargs={"sockets": [listener]}, name="receiving")
        before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            receiving.start()
            on_ready(address_of(host, listener.getsockname()[1]))
            line.work_while(receiving, on_idle=return_freed_memory)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _no_part_of_the_end(record: logging.LogRecord) -> bool:
    """Return whether a log record is about more than the connections that are cut off as the app ends."""
    cut_off = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cut_off and "graceful shutdown" not in record.msg


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=family_of(host))
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror}; choose another --port") from None
