"""Output of the commands: data on stdout, messages on stderr, and exit codes."""

import json
import sys
from collections.abc import Coroutine, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any, NoReturn, TypeVar

from workflows.visible import escape_in_json, show_hidden_characters

T = TypeVar("T")
COUNT_LIMIT = 100_000  # rows after a page are counted only up to this number


class Exit(IntEnum):
    """The exit codes of all commands. Scripts rely on them, so they never change."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    REFUSED = 3
    BUDGET = 4
    UNREACHABLE = 5
    INTERRUPTED = 130


def say(line: str) -> None:
    """Print a message for people on stderr."""
    print(show_hidden_characters(line), file=sys.stderr, flush=True)


def echo(text: str = "", *, stderr: bool = False) -> None:
    """Print text for people as it is, with characters that hide shown as `<U+202E>`."""
    print(show_hidden_characters(text), file=sys.stderr if stderr else sys.stdout, flush=True)


def fail(message: str, code: Exit) -> NoReturn:
    """Print an error message and exit with this code."""
    say(f"stanchion: {message}")
    raise SystemExit(int(code))


def show(data: Any, *, as_json: bool, text: str | None = None) -> None:
    """Print data on stdout: as JSON, or as `text`, or as lines of `key  value`."""
    if as_json:
        print(escape_in_json(json.dumps(data, default=_json_default, ensure_ascii=False)), flush=True)
    elif text is not None:
        echo(text)
    elif isinstance(data, Mapping):
        width = max((len(str(key)) for key in data), default=0)
        echo("\n".join(f"{key!s:<{width}}  {_format_cell(value)}" for key, value in data.items()))
    else:
        echo(_format_cell(data))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print rows as aligned columns or as a JSON array. Without rows, prints the message `empty`."""
    if as_json:
        return show([dict(row) for row in rows], as_json=True)
    if not rows:
        return say(empty)
    cells = [[show_hidden_characters(_format_cell(row[column])) for column in columns] for row in rows]
    widths = [max(len(columns[i]), *(len(line[i]) for line in cells)) for i in range(len(columns))]
    for line in [[column.upper().replace("_", " ") for column in columns], *cells]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def say_how_many_more(rows: Sequence[Mapping[str, Any]], column: str, more: int) -> None:
    """Print how many more rows follow this page, if any, and the option that shows them.

    `column` is what `--after` takes; `rows` are in the order of the list.
    """
    if more:
        say(f"… and {more:,}{' or more' if more >= COUNT_LIMIT else ''} more: --after {rows[-1][column]}")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine. Expected errors become a message and an exit code instead of a traceback."""
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
        fail(*_explain_temporal_error(error))


def _explain_temporal_error(error: Exception) -> tuple[str, Exit]:
    """Return a message and an exit code for an error of Temporal's; raises any other error again."""
    if "temporalio" not in sys.modules:  # not imported, so it cannot be an error of Temporal's
        raise error
    from temporalio.service import RPCError, RPCStatusCode

    if isinstance(error, RPCError):
        if error.status == RPCStatusCode.NOT_FOUND:
            return f"Temporal has no such run, or the run is over: {error.message}", Exit.REFUSED
        if error.status == RPCStatusCode.INVALID_ARGUMENT:
            return f"Temporal refused the request: {error.message}", Exit.USAGE
        return f"Temporal did not answer: {error.message}", Exit.UNREACHABLE
    raise error


def _format_cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, dict | list):
        return json.dumps(value, default=_json_default, ensure_ascii=False)
    return " ".join(str(value).split())


def _json_default(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
