"""Connections to a PostgreSQL server that may vanish without a word, or whose clients may.

A machine that loses its power or its network closes no connection. By itself a client that waits for such a server's
answer does so for two hours or for ever, and a server keeps a vanished client's locks as long. Here each side asks the
other after 10 s without a sign of life, and gives it up when it has not answered for 30 s.
"""

import sqlalchemy
from sqlalchemy.engine import URL

_IDLE_S, _EVERY_S, _GIVEN_UP_AFTER_S = 10, 5, 30
_OF_CLIENT = {
    "connect_timeout": "10",
    "keepalives_idle": str(_IDLE_S),
    "keepalives_interval": str(_EVERY_S),
    "keepalives_count": str(_GIVEN_UP_AFTER_S // _EVERY_S),
    "tcp_user_timeout": str(1000 * _GIVEN_UP_AFTER_S),
}
"""Parameters of libpq: https://www.postgresql.org/docs/current/libpq-connect.html."""
_OF_SERVER = {
    "tcp_keepalives_idle": str(_IDLE_S),
    "tcp_keepalives_interval": str(_EVERY_S),
    "tcp_keepalives_count": str(_GIVEN_UP_AFTER_S // _EVERY_S),
    "tcp_user_timeout": f"{_GIVEN_UP_AFTER_S}s",
    "idle_in_transaction_session_timeout": "60s",
}
"""Settings of a session: https://www.postgresql.org/docs/current/runtime-config-connection.html."""
_LIBPQ = ("psycopg", "psycopg2")


def outliving(url: URL) -> URL:
    """Return a database's URL with which a client outlives its server; what the URL itself says holds."""
    if url.get_backend_name() != "postgresql" or url.get_driver_name() not in _LIBPQ:
        return url
    return url.update_query_dict({**_OF_CLIENT, **url.query})


def outlived(engine: sqlalchemy.Engine) -> None:
    """Let the server outlive the clients of an engine: what one that vanished held is let go of."""
    if engine.dialect.name == "postgresql":
        engine.dispose()  # connections from before
        sqlalchemy.event.listen(engine, "connect", _configure)


def _configure(connection: sqlalchemy.engine.interfaces.DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    settings = ", ".join("set_config(%s, %s, false)" for _ in _OF_SERVER)
    cursor.execute(f"SELECT {settings}", [part for setting in _OF_SERVER.items() for part in setting])
    cursor.close()
    connection.commit()
