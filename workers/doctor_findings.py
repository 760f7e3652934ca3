"""Check: one finding of `stanchion doctor`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One finding. `ok` None is a hint: nothing is wrong, more is possible. `fix` is for when `ok` is not True."""

    name: str
    ok: bool | None
    detail: str
    fix: str = ""
