"""The program ``cohere-rerank``; also ``python -m cohere_rerank``."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit: with 1 without the extra ``cli``, with 130 after an interrupt."""
    try:
        from .cli._program import program
    except ImportError as error:
        print(f"cohere-rerank: error: {error}", file=sys.stderr)  # noqa: T201 - no click to say it with
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows what it can
    program.main(prog_name="cohere-rerank")


if __name__ == "__main__":
    main()
