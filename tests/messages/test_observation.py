"""No data is not zero: a value that is no number never becomes a sample."""

import math

import pytest

from penstock.messages.observation import Sample


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_sample_is_finite(value: float) -> None:
    """NaN and infinity are to be left out at the edge, not carried inside."""
    with pytest.raises(ValueError, match="finite"):
        Sample(value=value)


def test_a_sample_is_not_from_the_future() -> None:
    """A negative age is a clock fault, not a fresh value."""
    with pytest.raises(ValueError, match="future"):
        Sample(value=1.0, age_s=-1.0)
