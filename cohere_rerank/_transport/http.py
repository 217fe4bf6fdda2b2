"""Send one request, read the whole reply, and raise every failure as one of our errors.

This is the boundary between the runners and the transport: a runner calls `Sender.send`, and gets a `Reply`. Requests
go over our own connections, and httpx is imported only if something fails. `httpx_requests` sends through httpx: if
the caller passes a client, through a proxy, and while a tool has replaced a function of httpx.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from cohere_rerank._wire.contract import FIRST_ERROR, FIRST_REDIRECT, is_redirect
from cohere_rerank._wire.response import redirect_target
from cohere_rerank.errors import ClientClosedError, CohereRerankError, InvalidRequestError

from .originals import ASYNCHRONOUS, BLOCKING
from .outgoing import OutgoingRequest
from .proxies import has_proxy, tls_context_of
from .reply import Reply
from .request_head import RequestHead, phase_timeouts, request_url
from .whole_reply import WholeReply

if TYPE_CHECKING:
    import httpx

    from cohere_rerank._clock import Deadline
    from cohere_rerank._settings import Config, Secret
    from cohere_rerank._wire.call import Part

    from .connections import ThreadConnections
    from .loop_connections import LoopConnections
    from .outgoing import Timeouts

__all__ = ["AsyncSender", "Reply", "Sender"]

_MAX_REDIRECTS = 5
_MAX_HEAD_BYTES = 128 * 1024  # of a reply, with the informational replies before it
_PHASE_GRACE_S = 0.2  # a phase that times out together with its attempt gives the better error


class _BaseSender:
    """Prepare requests, and decide about redirects and failures, for both senders."""

    def __init__(self, config: Config, client: Any) -> None:
        # CO_API_URL=local: keeps any program off the network, also one that passes its own httpx client.
        self._client: Any = None if config.is_local else client
        self._is_local = config.is_local
        self._head: RequestHead | None = None  # of the last request
        self._timeouts: tuple[float | None, Config, Timeouts] | None = None  # of the last request
        self._connections: Any = None  # our own; None if requests go through httpx
        self._through: Any = None  # a client or a transport of httpx; made when it is first used
        self.is_closed = False

    def _prepared(
        self, config: Config, part: Part, key: Secret | None, target: str | None, deadline: Deadline
    ) -> OutgoingRequest:
        """Return the request to the client's address, or to the *target* of a redirect, which has its own query."""
        head = self._head
        if target is not None:
            head = RequestHead(config, part, key, target)
        elif head is None or not head.fits(config, part, key):
            head = self._head = RequestHead(config, part, key)
        asked = part.call.timeout_s
        known = self._timeouts
        if known is None or known[0] != asked or known[1] is not config:
            known = self._timeouts = (asked, config, phase_timeouts(config, part.call))
        return OutgoingRequest(
            head.origin, head.start, part.content, known[2], deadline.remaining, deadline.cancellation
        )

    def _check_open(self) -> None:
        if self.is_closed:
            raise ClientClosedError("The client is closed; create a new one, or close it later")
        if self._client is not None and self._client.is_closed:
            raise ClientClosedError("The httpx_client is closed; keep it open while this client is used")

    def _mapped(
        self,
        error: Exception,
        config: Config,
        part: Part,
        key: Secret | None,
        target: str | None,
        deadline: Deadline,
        outer: BaseException | None,
    ) -> Exception | None:
        """Return the error to raise for one that was raised below; None for one of a hook or a scorer.

        The frames below have headers and bodies in their local variables, which error reporters collect, so their
        tracebacks are dropped. *outer* is an exception that the caller was handling; its traceback is kept.
        """
        if self._is_local:
            return None  # nothing is sent
        from . import errors
        from .connection_errors import CertificateLoadError, ExchangeError
        from .request_secrets import Secrets

        mapped: Exception | None = None
        if isinstance(error, CertificateLoadError):
            mapped = errors.certificate_load_error(error)
        elif isinstance(error, ExchangeError):
            from .httpx_requests import httpx_request

            error = errors.as_httpx_error(error, httpx_request(config, part, key, target))
        if isinstance(error, CohereRerankError):
            mapped = error
        elif errors.is_httpx_error(error):
            mapped = errors.map_httpx_error(error, deadline)
            mapped.__cause__ = error
        elif isinstance(error, OSError) and self._client is None:
            mapped = errors.system_error(error)
        elif isinstance(error, ImportError) and "socksio" in str(error):
            mapped = InvalidRequestError(
                'a SOCKS proxy, of proxy= or the environment, needs a package: pip install "httpx[socks]"'
            )
        elif isinstance(error, RuntimeError) and "closed" in str(error) and self.is_closed:
            mapped = ClientClosedError("The client was closed while a request was in flight")
        if mapped is not None:
            errors.drop_tracebacks(error, outer)
            errors.hide_secrets_in(mapped, Secrets(key, part.call.headers))
        return mapped

    def _next_hop(self, config: Config, part: Part, target: str | None, reply: Reply, n_hops: int) -> str | None:
        """Return where to send the request again after a redirect, or None."""
        if self._is_local or not is_redirect(reply.status_code) or n_hops >= _MAX_REDIRECTS:
            return None
        url = redirect_target(target or request_url(config, part), reply.status_code, reply.headers.get("location"))
        if url is None:
            return None
        import httpx

        try:
            return str(httpx.URL(url))
        except httpx.InvalidURL:  # the server's mistake, not base_url's
            return None


class Sender(_BaseSender):
    """Send one request at a time for each thread that calls it."""

    def __init__(self, config: Config, client: httpx.Client | None) -> None:
        super().__init__(config, client)
        self._connections: ThreadConnections | None = None
        if config.is_local:
            from .local_answers import LocalAnswers

            self._local = LocalAnswers(config)
        elif client is None and config.proxy is None and not has_proxy():
            from .connections import ThreadConnections

            self._connections = ThreadConnections(config.max_connections, verify=tls_context_of(config))

    def send(self, config: Config, part: Part, key: Secret | None, deadline: Deadline) -> Reply:
        """Send the request and read the whole reply, within the deadline.

        Raises:
            ConnectionFailedError: No complete reply came.
            InvalidResponseError: The reply is too large or cannot be decompressed.
        """
        if self.is_closed or self._client is not None:
            self._check_open()
        timeout_s = part.call.timeout_s or config.timeout
        if timeout_s is not None:
            deadline = deadline.for_attempt(timeout_s)
        outer = sys.exc_info()[1]
        target, n_hops = None, 0
        while True:
            try:
                reply = self._exchange(config, part, key, target, deadline)
            except Exception as error:
                mapped = self._mapped(error, config, part, key, target, deadline, outer)
                if mapped is None:
                    raise
                raise mapped from mapped.__cause__
            if not FIRST_REDIRECT <= reply.status_code < FIRST_ERROR:
                return reply
            target = self._next_hop(config, part, target, reply, n_hops)
            if target is None:
                return reply
            n_hops += 1

    def _exchange(
        self, config: Config, part: Part, key: Secret | None, target: str | None, deadline: Deadline
    ) -> Reply:
        if deadline.remaining() <= 0:
            from .errors import deadline_exceeded

            raise deadline_exceeded(deadline)
        limit = config.max_response_bytes or part.max_reply_bytes
        connections = self._connections
        if connections is not None and BLOCKING.are_in_place():
            reply = WholeReply(limit, limit + limit // 4 + _MAX_HEAD_BYTES)
            connections.exchange(self._prepared(config, part, key, target, deadline), reply)
            return Reply(reply, reply.status, reply.headers, reply.content, key, part.call.headers)
        if self._is_local:
            return self._local.reply(part)
        from .httpx_requests import send

        return send(self._httpx(config), config, part, key, target, deadline, limit)

    def _httpx(self, config: Config) -> Any:
        """Return the client or the transport of httpx to send through."""
        if self._client is not None:
            return self._client
        if self._through is None:
            from .plain import PlainTransport

            tls = tls_context_of(config)
            self._through = PlainTransport(max_connections=config.max_connections, proxy=config.proxy, verify=tls)
        return self._through

    def close(self) -> None:
        """Close the connections. A client that the caller passed is closed too, as the official client does."""
        self.is_closed = True
        for one in (self._connections, self._through, self._client):
            if one is not None:
                one.close()


class AsyncSender(_BaseSender):
    """Send one request at a time for each task that calls it."""

    def __init__(self, config: Config, client: httpx.AsyncClient | None) -> None:
        super().__init__(config, client)
        self._connections: LoopConnections | None = None
        if config.is_local:
            from .local_answers import LocalAnswers

            self._local = LocalAnswers(config)
        elif client is None and config.proxy is None and not has_proxy():
            from .loop_connections import LoopConnections

            self._connections = LoopConnections(config.max_connections, verify=tls_context_of(config))

    async def send(self, config: Config, part: Part, key: Secret | None, deadline: Deadline) -> Reply:
        """As `Sender.send`."""
        if self.is_closed or self._client is not None:
            self._check_open()
        timeout_s = part.call.timeout_s or config.timeout
        if timeout_s is not None:
            deadline = deadline.for_attempt(timeout_s)
        outer = sys.exc_info()[1]
        target, n_hops = None, 0
        while True:
            try:
                reply = await self._exchange(config, part, key, target, deadline)
            except Exception as error:
                mapped = self._mapped(error, config, part, key, target, deadline, outer)
                if mapped is None:
                    raise
                raise mapped from mapped.__cause__
            if not FIRST_REDIRECT <= reply.status_code < FIRST_ERROR:
                return reply
            target = self._next_hop(config, part, target, reply, n_hops)
            if target is None:
                return reply
            n_hops += 1

    async def _exchange(
        self, config: Config, part: Part, key: Secret | None, target: str | None, deadline: Deadline
    ) -> Reply:
        left_s = deadline.remaining()
        limit = config.max_response_bytes or part.max_reply_bytes
        connections = self._connections
        if left_s > 0 and connections is not None and ASYNCHRONOUS.are_in_place():
            reply = WholeReply(limit, limit + limit // 4 + _MAX_HEAD_BYTES)
            await connections.exchange(self._prepared(config, part, key, target, deadline), reply)
            return Reply(reply, reply.status, reply.headers, reply.content, key, part.call.headers)
        if left_s > 0:
            from anyio import move_on_after

            with move_on_after(left_s + (0.0 if deadline.call is None else _PHASE_GRACE_S)):
                if self._is_local:
                    return await self._local.reply_async(part)
                from .httpx_requests import send_async

                return await send_async(self._httpx(config), config, part, key, target, deadline, limit)
        from .errors import deadline_exceeded

        raise deadline_exceeded(deadline)

    def _httpx(self, config: Config) -> Any:
        """As `Sender._httpx`."""
        if self._client is not None:
            return self._client
        if self._through is None:
            from .plain import AsyncPlainTransport

            tls = tls_context_of(config)
            self._through = AsyncPlainTransport(max_connections=config.max_connections, proxy=config.proxy, verify=tls)
        return self._through

    async def aclose(self) -> None:
        """As `Sender.close`."""
        self.is_closed = True
        for one in (self._connections, self._through, self._client):
            if one is not None:
                await one.aclose()
