"""TLS: one context for all, certificates that are refused, HTTP/1.1 alone."""

from __future__ import annotations

import ssl

import httpx
import pytest

from cohere_rerank._transport.pooled import AsyncPooledTransport, PooledTransport
from tests.fake_server import Server
from tests.transport.asking import asend, send, together


def test_tls_is_spoken_with_one_context_for_all(monkeypatch, tmp_path, run):
    """Made when the first https request needs it, from SSL_CERT_FILE as httpx does."""
    made = []
    create = httpx.create_ssl_context
    monkeypatch.setattr(httpx, "create_ssl_context", lambda: made.append(create()) or made[-1])

    async def scenario(transport, *urls):
        for url in urls:
            await together(transport, url, 3)
        await transport.aclose()

    with Server(tls="trusted") as server, Server() as plain:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.write_authority(tmp_path / "authority.pem")))
        transport = AsyncPooledTransport()
        run(lambda: scenario(transport, plain.url))
        assert not made
        run(lambda: scenario(transport, server.url, server.url))
        assert len(made) == 1 and server.n_connections == 3 and len(server.requests) == 6
        with PooledTransport() as with_threads:
            assert send(with_threads, server.url).status_code == 200
            assert send(with_threads, server.url).status_code == 200
        assert len(made) == 2 and server.n_connections == 4


def test_a_certificate_that_nobody_signed_is_refused(run):
    """ConnectError at once; the reason is in the chain of causes."""

    async def scenario(url):
        transport = AsyncPooledTransport()
        with pytest.raises(httpx.ConnectError) as caught:
            await asend(transport, url)
        return caught.value

    with Server(tls="self-signed") as server, PooledTransport() as transport:
        raised = [run(lambda: scenario(server.url))]
        with pytest.raises(httpx.ConnectError) as caught:
            send(transport, server.url)
        raised.append(caught.value)
    for error in raised:
        causes = []
        while error is not None:
            causes.append(type(error))
            error = error.__cause__
        assert ssl.SSLCertVerificationError in causes


def test_only_http_1_is_offered(transport):
    """A server that would speak HTTP/2 is not asked to."""
    offered = []

    class Context(ssl.SSLContext):
        def set_alpn_protocols(self, protocols):
            offered.append(list(protocols))
            super().set_alpn_protocols(protocols)

    context = Context(ssl.PROTOCOL_TLS_CLIENT)
    with Server(tls="trusted") as server, PooledTransport(verify=context) as transport:
        with pytest.raises(httpx.ConnectError):
            send(transport, server.url)
    assert offered == [["http/1.1"]]
