"""The command line: data on stdout, messages on stderr. Slow imports wait until a command runs."""

import sys


def main() -> None:
    """Entry point of `stanchion`."""
    from workers.cli.app import app

    _ensure_buffered_stdout()
    code: object = 0
    try:
        app(prog_name="stanchion")
    except SystemExit as ended:
        code = ended.code
    if "temporalio" not in sys.modules:
        raise SystemExit(code)
    # The SDK's threads sometimes abort a normal interpreter exit, and the exit code would be lost.
    from workers.serve import flush_and_exit

    flush_and_exit(code if isinstance(code, int) else int(code is not None))


def _ensure_buffered_stdout() -> None:
    """Give stdout a buffer if PYTHONUNBUFFERED removed it; without one, a pipe may get only the first 64 KB."""
    if getattr(sys.stdout, "write_through", False):
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = open(sys.stdout.fileno(), "w", encoding=encoding, errors=errors, closefd=False)
