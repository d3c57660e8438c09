"""Servers of this machine: when one of them is up, and on which kinds of address it may listen."""

import socket
import sys

import psutil
import pytest
from lacking import lacking

from hms_search.errors import ServerError
from hms_search.servers import address_of, child_server, free_port

ANSWERING = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2]))
        self.end_headers()

HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
"""A server that answers everything with one status."""


def comes_up(status: int) -> bool:
    port = free_port("127.0.0.1", 0, "a server")
    address, command = address_of("127.0.0.1", port), (sys.executable, "-c", ANSWERING, str(port), str(status))
    try:
        with child_server("a server", command, address=address, health="/health", environment={}):
            return True
    except ServerError:
        return False


@pytest.mark.parametrize(("status", "is_up"), [(200, True), (401, True), (404, False), (503, False)])
def test_a_server_is_up_when_it_answers_or_asks_for_a_password(
    status: int, is_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hms_search.servers._START_LIMIT_S", 60.0 if is_up else 1.0)
    assert comes_up(status) is is_up


def test_a_port_of_an_ipv6_address_is_found() -> None:
    if "::1" not in {one.address for found in psutil.net_if_addrs().values() for one in found}:
        lacking("this machine has no IPv6")
    port = free_port("::1", 0, "a server")
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        assert free_port("::1", port, "a server") != port
    assert address_of("::1", port) == f"http://[::1]:{port}"


def test_an_address_of_another_machine_is_named() -> None:
    for host in ("198.51.100.1", "2001:db8::1"):
        with pytest.raises(ServerError, match=f"cannot listen on {host}: .*; give a --host of this machine"):
            free_port(host, 0, "a server")
