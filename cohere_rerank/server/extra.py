"""What to say without the extra ``[server]``."""

MISSING = 'the server is an extra; install it with: pip install "cohere-rerank[server]"'
