"""Rules of the wire: requests, responses, documents, dialects. Pure: no httpx, no socket, no clock."""
