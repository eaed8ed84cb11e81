"""Amounts as Kubernetes writes them (`500m`, `1.5Gi`, `2`), as exact numbers."""

import re
from collections.abc import Mapping
from fractions import Fraction

_SUFFIXES = {"": 1, "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000)}
_SUFFIXES |= {suffix: 1000**power for power, suffix in enumerate("kMGTPE", start=1)}
_SUFFIXES |= {f"{suffix}i": 1024**power for power, suffix in enumerate("KMGTPE", start=1)}
_QUANTITY = re.compile(r"([+-]?[\d.]+)(?:[eE]([+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")


def amount(quantity: str | float) -> Fraction:
    """The number. Raises: ValueError, if it is none."""
    match = _QUANTITY.fullmatch(str(quantity))
    if not match:
        raise ValueError(f"not a quantity: {quantity!r}")
    number, exponent, suffix = match.groups()
    return Fraction(number) * (Fraction(10) ** int(exponent) if exponent else _SUFFIXES[suffix or ""])


def amounts(quantities: Mapping[str, str | float]) -> dict[str, Fraction]:
    """By resource name."""
    return {name: amount(quantity) for name, quantity in quantities.items()}
