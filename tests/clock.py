"""Time that passes only when someone sleeps: the package gives it to its users too."""

from __future__ import annotations

from cohere_rerank.testing.clock import FakeClock as FakeClock
