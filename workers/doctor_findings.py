"""Check: one finding of `stanchion doctor`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One finding. `ok` is True, False, or None for a hint. `fix` says what to do if `ok` is not True."""

    name: str
    ok: bool | None
    detail: str
    fix: str = ""
