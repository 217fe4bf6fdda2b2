"""Helpers for requests over a socket, and for the form of all errors."""

from __future__ import annotations


def error_message(response, status):
    """Check the form of an error and return its message."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body["id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return body["message"]


def request_head(n_bytes, path="/v2/rerank"):
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {n_bytes}\r\n\r\n"
    ).encode()


KEYS = ("first-key", "second-key")
