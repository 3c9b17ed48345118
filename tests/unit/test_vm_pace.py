"""labctl.vm.pace: one factor, and every time-out that follows from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labctl.vm import pace as pacing
from labctl.vm.accel import Acceleration
from labctl.vm.pace import FACTOR_MAX, REFERENCE_BOOT_SECONDS, Pace, pace

FACTORS = st.floats(min_value=1.0, max_value=FACTOR_MAX)


def tcg(seconds: float) -> Acceleration:
    return Acceleration("tcg", "because", seconds)


def test_a_good_laptop_keeps_every_default() -> None:
    quick = pace(Acceleration("kvm", "because", REFERENCE_BOOT_SECONDS * 0.7), guests=4, processors=8)
    assert quick == Pace(1.0)
    assert quick.token_ms is None
    assert quick.stonith_seconds == 60
    assert quick.load_threshold == "80%"
    assert quick.operation_seconds(20) == 20


def test_kvm_on_few_processors_keeps_corosyncs_token() -> None:
    crowded = pace(Acceleration("kvm", "because", REFERENCE_BOOT_SECONDS), guests=5, processors=2)
    assert crowded.factor == 2.5
    assert crowded.token_ms is None
    assert crowded.operation_seconds(20) == 50


def test_what_was_worked_by_hand_under_emulation() -> None:
    """Four emulated nodes and a target, two cores: start 200 s, monitor 100 s, stonith 180 s, token 10 s."""
    slow = pace(tcg(2.8), guests=5, processors=2)
    assert slow.token_ms == 10_000
    assert slow.operation_seconds(20) == 200
    assert slow.operation_seconds(10) == 100
    assert 180 <= slow.stonith_seconds <= 200
    assert slow.load_threshold == "800%"


def test_guests_and_slowness_both_count() -> None:
    slow = tcg(3 * REFERENCE_BOOT_SECONDS)
    assert pace(slow, guests=1, processors=2).factor == 3.0
    assert pace(slow, guests=2, processors=2).factor == 3.0
    assert pace(slow, guests=4, processors=2).factor == 6.0
    assert pace(slow, guests=4, processors=0).factor == 12.0


@given(seconds=st.floats(0, 1e6), guests=st.integers(0, 100), processors=st.integers(0, 1000))
def test_the_factor_has_limits(seconds: float, guests: int, processors: int) -> None:
    assert 1.0 <= pace(tcg(seconds), guests, processors).factor <= FACTOR_MAX


@given(FACTORS, FACTORS, st.floats(1, 300))
def test_slower_never_waits_less(one: float, other: float, base: float) -> None:
    quick, slow = Pace(min(one, other)), Pace(max(one, other))
    assert base <= quick.operation_seconds(base) <= slow.operation_seconds(base)
    assert 60 <= quick.stonith_seconds <= slow.stonith_seconds
    assert (quick.token_ms or 0) <= (slow.token_ms or 0)


@given(FACTORS, st.floats(1, 100_000))
def test_nothing_grows_beyond_sense(factor: float, base: float) -> None:
    """Pacemaker takes any number; a person who waits does not."""
    slow = Pace(factor)
    assert slow.operation_seconds(base) <= max(base + 1, pacing.OPERATION_MAX)
    assert slow.stonith_seconds <= pacing.STONITH_MAX
    assert slow.token_ms is None or pacing.TOKEN_DEFAULT_MS < slow.token_ms <= pacing.TOKEN_MAX_MS


@pytest.mark.parametrize(("factor", "token"), [(1.0, None), (3.0, None), (3.1, 3500), (20.0, 20_000)])
def test_the_token_is_set_only_where_corosyncs_is_too_short(factor: float, token: int | None) -> None:
    assert Pace(factor).token_ms == token
