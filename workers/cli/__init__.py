"""The command line. Data on stdout, talk on stderr. Nothing heavy is imported before a command runs."""

import sys


def main() -> None:
    """Entry point of `stanchion`."""
    from workers.cli.app import app

    _write_all()
    code: object = 0
    try:
        app(prog_name="stanchion")
    except SystemExit as ended:
        code = ended.code
    if "temporalio" not in sys.modules:
        raise SystemExit(code)
    from workers.serve import leave  # the SDK's threads sometimes abort an orderly exit, and with it the exit code

    leave(code if isinstance(code, int) else int(code is not None))


def _write_all() -> None:
    """Put a buffer below stdout if PYTHONUNBUFFERED took it away: without one, a pipe may get the first 64 KB only."""
    if getattr(sys.stdout, "write_through", False):
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = open(sys.stdout.fileno(), "w", encoding=encoding, errors=errors, closefd=False)
