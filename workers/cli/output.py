"""Output of the commands: data on stdout, everything else on stderr, an exit code for each kind of ending."""

import json
import sys
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")
COUNTED = 100_000  # rows after a page that are counted: of more than that nobody needs the number


class Exit(IntEnum):
    """Exit codes. Public: scripts rely on them."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    REFUSED = 3
    BUDGET = 4
    UNREACHABLE = 5
    INTERRUPTED = 130


def say(line: str) -> None:
    """Talk, to a person."""
    print(line, file=sys.stderr, flush=True)


def fail(message: str, code: Exit) -> NoReturn:
    """Say what is wrong and end."""
    say(f"stanchion: {message}")
    raise SystemExit(int(code))


def show(data: Any, *, as_json: bool, text: str | None = None) -> None:
    """Data: as JSON, or as the text given, or as lines of `key  value`."""
    if as_json:
        print(json.dumps(data, default=_plain, ensure_ascii=False), flush=True)
    elif text is not None:
        print(text, flush=True)
    elif isinstance(data, Mapping):
        width = max((len(str(key)) for key in data), default=0)
        print("\n".join(f"{key!s:<{width}}  {_cell(value)}" for key, value in data.items()), flush=True)
    else:
        print(_cell(data), flush=True)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Rows as aligned columns, or as a JSON array."""
    if as_json:
        return show([dict(row) for row in rows], as_json=True)
    if not rows:
        return say(empty)
    cells = [[_cell(row[column]) for column in columns] for row in rows]
    widths = [max(len(columns[i]), *(len(line[i]) for line in cells)) for i in range(len(columns))]
    for line in [[column.upper().replace("_", " ") for column in columns], *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def say_next(rows: Sequence[Mapping[str, Any]], column: str, more: int) -> None:
    """Say how many rows come after this page, if any do, and what shows them. The rows are in the order of the list."""
    if more:
        say(f"… and {more:,}{' or more' if more >= COUNTED else ''} more: --after {rows[-1][column]}")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; failures that have a name become a message and an exit code, never a traceback."""
    from activities.errors import StanchionError, Transient
    from workers import loop
    from workers.services.home import ServiceUnavailable

    try:
        return loop.run(work)
    except KeyboardInterrupt:
        raise SystemExit(int(Exit.INTERRUPTED)) from None
    except (ServiceUnavailable, Transient) as error:
        fail(str(error), Exit.UNREACHABLE)
    except StanchionError as error:
        fail(str(error), Exit.USAGE)
    except Exception as error:
        fail(*_explained(error))


def _explained(error: Exception) -> tuple[str, Exit]:
    if "temporalio" not in sys.modules:  # then it is no error of Temporal's
        raise error
    from temporalio.service import RPCError, RPCStatusCode

    if isinstance(error, RPCError):
        if error.status == RPCStatusCode.NOT_FOUND:
            return f"Temporal knows no such run, or it is over: {error.message}", Exit.REFUSED
        if error.status == RPCStatusCode.INVALID_ARGUMENT:
            return f"Temporal refused it: {error.message}", Exit.USAGE
        return f"Temporal did not answer: {error.message}", Exit.UNREACHABLE
    raise error


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, dict | list):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return " ".join(str(value).split())


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
