"""Money as people read it. Pure; imports nothing, so that commands that only print amounts start fast."""

MICROS = 1_000_000  # micro-USD in one USD


def micros_to_usd(micros: int) -> str:
    """A decimal string with at least two decimals, for people: 1_500_000 -> "1.50", 123 -> "0.000123"."""
    whole, fraction = divmod(micros, MICROS)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{whole}.{digits}"
