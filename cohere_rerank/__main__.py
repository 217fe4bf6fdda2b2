"""The program ``cohere-rerank``. ``python -m cohere_rerank`` runs it too."""

from __future__ import annotations

import os
import sys
import warnings
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line and exit. The code is 1 if the extra is not installed, and 130 after an interrupt."""
    try:
        from .cli._program import program
    except ImportError as error:
        print(f"cohere-rerank: error: {_what_to_install(error)}", file=sys.stderr)  # noqa: T201 - click is missing
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    _prepare_process()
    program.main(prog_name="cohere-rerank")


def _what_to_install(error: ImportError) -> str:
    """Return what to install. For ``serve``, the extra ``server`` is enough: it includes click."""
    if error.name == "click" and sys.argv[1:2] == ["serve"]:
        from ._extras import missing_extra

        return missing_extra("server", "The server", error.__cause__)
    return str(error)


def _prepare_process() -> None:
    """Open the streams that the shell closed, and print a warning on one line."""
    if sys.stdin is None:  # the shell closed it with <&-
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - for as long as the process lives
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as above
    if sys.stderr is None:  # otherwise the next file that is opened would get its number, and messages of libraries
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as above
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows what it can
    warnings.formatwarning = lambda message, *_args, **_more: f"cohere-rerank: {message}\n"


if __name__ == "__main__":
    main()
