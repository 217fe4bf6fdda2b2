"""Test programs that rerank: time that nobody waits for, and the machinery of a server that misbehaves."""
