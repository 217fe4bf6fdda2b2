"""The failures of one exchange, without httpx, so that a call that succeeds need not import it.

Each class has the name of the exception of httpx that it becomes.
"""

from __future__ import annotations


class ExchangeError(Exception):
    """No complete reply came."""


class ConnectError(ExchangeError):
    """No connection could be made."""


class ReadError(ExchangeError):
    """The connection broke while the reply was read."""


class WriteError(ExchangeError):
    """The connection broke while the request was written."""


class RemoteProtocolError(ExchangeError):
    """The server closed the connection early, or did not send HTTP."""


class ExchangeTimeout(ExchangeError):
    """A phase took too long."""


class ConnectTimeout(ExchangeTimeout):
    """No connection in time."""


class ReadTimeout(ExchangeTimeout):
    """No data came in time."""


class WriteTimeout(ExchangeTimeout):
    """Nothing could be written in time."""


class PoolTimeout(ExchangeTimeout):
    """No connection became free in time."""


class LocalProtocolError(ExchangeError):
    """The request cannot be sent as HTTP."""


class CertificateLoadError(Exception):
    """The trusted certificates cannot be read."""


def without_quoted_line(text: str) -> str:
    """Return a message of h11 without the line of a header or of a body that it quotes.

    The start of a reply is kept, because it shows what kind of server answered.
    """
    for name in ("header line", "chunk header"):
        text = text.partition(f"illegal {name}: ")[0] + f"illegal {name}" if f"illegal {name}: " in text else text
    return text
