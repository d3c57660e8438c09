"""The MLflow server of ``hms-search up``: its own page may ask it, those of others may not."""

import http.client
import json
import socket
from pathlib import Path

import psutil
import pytest

from hms_search.servers import free_port
from hms_search.tracking.server import mlflow_server

LOOPBACK = "127.0.0.1"


def own_address() -> str:
    """An address of this machine that is not loopback's."""
    found = (address for addresses in psutil.net_if_addrs().values() for address in addresses)
    others = [one.address for one in found if one.family == socket.AF_INET and not one.address.startswith("127.")]
    return others[0] if others else pytest.skip("this machine has no address but its loopback's")


def asked(address: str, port: int, *, host: str, origin: str) -> int:
    """Return the status of what MLflow's page asks of its server, sent to an address under a name from a page."""
    connection = http.client.HTTPConnection(address, port, timeout=30)
    headers = {"Host": host, "Origin": origin, "Content-Type": "application/json"}
    path = "/ajax-api/2.0/mlflow/experiments/search"
    connection.request("POST", path, json.dumps({"max_results": 1}), headers)
    try:
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("everywhere", [False, True])
def test_the_own_page_is_answered_and_foreign_pages_and_names_are_refused(tmp_path: Path, everywhere: bool) -> None:
    address = own_address()
    host = "0.0.0.0" if everywhere else address
    port = free_port(host, 0, "MLflow")
    with mlflow_server(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "files", host=host, port=port):
        page = f"http://{address}:{port}"
        at = f"10.0.0.1:{port}" if everywhere else f"{address}:{port}"  # everywhere: names of private networks
        assert asked(address, port, host=at, origin=page) == 200
        assert asked(address, port, host=at, origin="http://evil.example") == 403
        assert asked(address, port, host=at, origin=f"http://evil.example:{port}") == 403
        assert asked(address, port, host=at, origin="null") == 403
        assert asked(address, port, host=f"evil.example:{port}", origin=f"http://evil.example:{port}") == 403
        assert asked(address, port, host="evil.example", origin=page) == 403
