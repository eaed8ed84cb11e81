"""When what somebody changes each time is written again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.operator.contention import FORGET_S, LONGEST_WAIT_S, Contention


def writes_of(contention: Contention[str], until_s: float, *, every_s: float, digest: str = "a") -> list[float]:
    """The instants of our writes, if it is bent as soon as we wrote, and looked at every so often."""
    made, now_s = [], 0.0
    while now_s < until_s:
        if contention.wait_s("x", digest, now_s) == 0:
            contention.wrote("x", digest, len(made), now_s)
            made.append(now_s)
        now_s += every_s
    return made


@settings(deadline=None, max_examples=20)  # tens of thousands of looks each
@given(st.floats(0.05, 5.0))
def test_a_fight_is_a_few_writes_an_hour(every_s: float) -> None:
    """The first repair is at once; then it doubles up to five minutes."""
    made = writes_of(Contention(), 3600, every_s=every_s)
    assert made[1] <= every_s
    assert len(made) <= 11 + 3600 / LONGEST_WAIT_S


def test_a_slip_after_a_quiet_time_is_repaired_at_once() -> None:
    contention: Contention[str] = Contention()
    last_s = writes_of(contention, 100, every_s=0.5)[-1]
    assert contention.wait_s("x", "a", last_s) > 30
    assert contention.wait_s("x", "a", last_s + FORGET_S) == 0


def test_what_we_want_anew_is_written_at_once() -> None:
    contention: Contention[str] = Contention()
    writes_of(contention, 100, every_s=0.5)
    assert contention.wait_s("x", "b", 100.0) == 0
    contention.wrote("x", "b", 900, 100.0)
    assert contention.wait_s("x", "b", 100.1) == 0


def test_what_is_older_than_our_write_says_nothing() -> None:
    """An event is on its way; an object that is gone is no old one."""
    contention: Contention[str] = Contention()
    assert not contention.is_stale("x", "a", 5)
    contention.wrote("x", "a", 7, 0.0)
    assert contention.is_stale("x", "a", 6)
    assert not contention.is_stale("x", "a", 7)
    assert not contention.is_stale("x", "a", None)
    assert not contention.is_stale("x", "b", 6)
