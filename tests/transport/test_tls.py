"""TLS: one context for all connections, untrusted certificates, only HTTP/1.1."""

from __future__ import annotations

import ssl

import httpx
import pytest

from cohere_rerank._transport import tls
from cohere_rerank._transport.pooled import AsyncPooledTransport, PooledTransport
from tests.fake_server import Server
from tests.transport.request_helpers import send, send_async, send_concurrently


def test_all_connections_share_one_tls_context(monkeypatch, tmp_path, run):
    """The first https request makes it, from SSL_CERT_FILE, as httpx does."""
    made = []
    create = tls.new_tls_context
    monkeypatch.setattr(tls, "new_tls_context", lambda: made.append(create()) or made[-1])

    async def scenario(transport, *urls):
        for url in urls:
            await send_concurrently(transport, url, 3)
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


def test_a_self_signed_certificate_is_rejected(run):
    """The error is a ConnectError, raised at once. The reason is in the chain of causes."""

    async def scenario(url):
        transport = AsyncPooledTransport()
        with pytest.raises(httpx.ConnectError) as caught:
            await send_async(transport, url)
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
    """A server that can speak HTTP/2 is not asked for it."""
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


def test_the_settings_are_those_of_httpx(monkeypatch, tmp_path):
    """The same authorities, protocols and checks, by default, with SSL_CERT_FILE and with SSL_CERT_DIR."""

    def facts(context):
        names = ("check_hostname", "maximum_version", "minimum_version", "options", "verify_flags", "verify_mode")
        authorities = {bytes(authority) for authority in context.get_ca_certs(binary_form=True)}
        return [getattr(context, name) for name in names], context.get_ciphers(), authorities

    with Server(tls="trusted") as server:
        authority = server.write_authority(tmp_path / "authority.pem")
    for name, value in ((None, None), ("SSL_CERT_DIR", str(tmp_path)), ("SSL_CERT_FILE", str(authority))):
        if name is not None:
            monkeypatch.setenv(name, value)
        assert facts(tls.new_tls_context()) == facts(httpx.create_ssl_context())
    assert len(facts(tls.new_tls_context())[2]) == 1
