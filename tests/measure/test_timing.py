"""Timing on a clock of the test's own: what is counted, dropped and shuffled."""

from __future__ import annotations

import pytest

from linconv.measure import timing


class Clock:
    """Time passes only in calls, each of which takes what its arm costs."""

    def __init__(self, monkeypatch):
        self.now, self.order = 0.0, []
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def arm(self, name, cost):
        def call():
            self.order.append(name)
            self.now += cost() if callable(cost) else cost

        return call


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.mark.parametrize(("cost", "least"), [(0.2, 1), (0.05, 1), (0.03, 2), (0.001, 50), (1e-6, 50_000)])
def test_a_block_is_long_enough_and_not_much_longer(clock, cost, least):
    calls = timing.calibrate(clock.arm("a", cost), 0.05, "cpu")
    assert calls >= least
    assert calls * cost >= 0.05 * (1 - 1e-9)
    assert calls <= 2 * least


def test_every_round_has_every_arm_once_in_an_order_drawn_anew_and_the_first_is_dropped(clock):
    arms = {name: clock.arm(name, cost) for name, cost in {"a": 0.1, "b": 0.2, "c": 0.3}.items()}
    samples = timing.interleave(arms, rounds=12, block_seconds=0.05, cell_seconds=1e9)
    taken = clock.order[6:]  # after calibration: a call to warm up and one that is long enough, per arm
    rounds = [taken[i : i + 3] for i in range(0, len(taken), 3)]
    assert len(rounds) == 13
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert len({tuple(order) for order in rounds}) > 3
    for name, cost in {"a": 0.1, "b": 0.2, "c": 0.3}.items():
        assert samples[name].seconds == pytest.approx([cost] * 12)


def test_the_first_round_is_not_in_the_samples(clock):
    costs = iter([1.0, 1.0, 50.0, *[1.0] * 5])  # warm-up, calibration, first round, five rounds
    samples = timing.interleave(
        {"a": clock.arm("a", lambda: next(costs))}, rounds=5, block_seconds=0.5, cell_seconds=1e9
    )
    assert samples["a"].seconds == pytest.approx([1.0] * 5)


@pytest.mark.parametrize(("cell_seconds", "rounds"), [(1e9, 15), (10.0, 9), (0.1, 3)])
def test_the_time_of_a_cell_is_kept_but_for_three_rounds(clock, cell_seconds, rounds):
    samples = timing.interleave({"a": clock.arm("a", 1.0)}, rounds=15, block_seconds=0.5, cell_seconds=cell_seconds)
    assert len(samples["a"].seconds) == rounds


def test_rare_calls_count_by_their_share(clock):
    arms = {"a": [timing.Part(clock.arm("usual", 1.0), 0.9), timing.Part(clock.arm("rare", 11.0), 0.1)]}
    samples = timing.interleave(arms, rounds=5, block_seconds=0.5, cell_seconds=1e9)
    assert samples["a"].seconds == pytest.approx([2.0] * 5)
    assert clock.order.count("rare") == 2 + 6
