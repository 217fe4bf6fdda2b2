"""The local engine: scorers that rank offline, and the endpoint that serves them."""
