"""Sequential rank p-values worked by hand, and how often they raise a false alarm, whatever the population of sets."""

from __future__ import annotations

import numpy as np
import pytest

from hn_utils.stats.rank_test import holm, least_p, sets_needed, settled, tail_p, two_sided_rank_p

POPULATIONS = {  # what a set's slope may be drawn from: also where most sets do nothing and a few do much
    "normal": lambda rng, size: rng.normal(size=size),
    "one in ten moves": lambda rng, size: np.where(rng.random(size) < 0.1, 25 * rng.choice([-1, 1], size), 0.0),
    "one in twenty moves much": lambda rng, size: np.where(
        rng.random(size) < 0.05, 40 * rng.choice([-1, 1], size), rng.normal(0, 1, size)
    ),
    "heavy tails": lambda rng, size: rng.standard_t(2, size),
    "skewed": lambda rng, size: np.exp(1.2 * rng.normal(size=size)),
}


def test_holm_by_hand():
    # .005 x 4, .01 x 3, .03 x 2; .04 x 1 would fall below the one before
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.4, 0.6])).tolist() == [0.8, 0.8]
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert holm(np.array([0.03])).tolist() == [0.03]
    assert holm(np.array([])).size == 0


def test_ranks_by_hand():
    assert tail_p(5.0, np.array([1.0, 2, 3])) == 1 / 4  # none as large, itself included
    assert tail_p(2.0, np.array([1.0, 2, 3])) == 3 / 4  # a tie counts
    assert tail_p(0.0, np.array([])) == 1
    # the fifth that is as large comes ninth: no further set is looked at
    drawn = np.array([1.0, -1, 1, -1, 1, -1, 1, -1, 1] + [-1.0] * 190)
    assert tail_p(0.0, drawn) == 5 / 9
    assert tail_p(0.0, drawn[:8]) == 5 / 9  # four of eight: (1 + 4) / (1 + 8)
    assert two_sided_rank_p(9.0, np.arange(199) / 199) == 2 / 200
    assert two_sided_rank_p(-9.0, np.arange(199) / 199) == 2 / 200
    rising = np.linspace(0, 1, 21)  # the first five are smaller; the fifth that is as large comes fifteenth
    assert two_sided_rank_p(0.5, rising) == pytest.approx(2 * 5 / 15)


def test_it_is_settled_once_five_lie_on_either_side():
    assert not settled(0.5, np.array([0.0] * 4 + [1.0] * 9))
    assert settled(0.5, np.array([0.0] * 5 + [1.0] * 9))
    assert settled(1.0, np.ones(5))  # all alike
    assert not settled(9.0, np.zeros(199))


def test_what_is_settled_could_not_have_become_significant():
    """Five in a tail among 199 sets: twice (1 + 4) / 200 is the most that may be left at a level of .05."""
    sets = np.array([1.0] * 5 + [0.0] * 194)
    for order in range(20):
        assert two_sided_rank_p(0.5, np.random.default_rng(order).permutation(sets)) > 0.05 * 0.5
    assert least_p(199) == 0.01
    assert [sets_needed(n) for n in (1, 2, 4)] == [40, 80, 160]
    for n_tests in (1, 2, 4, 5):
        assert least_p(sets_needed(n_tests)) * n_tests < 0.05 <= least_p(sets_needed(n_tests) - 1) * n_tests * 1.000001


@pytest.mark.parametrize("shared", [False, True], ids=["each behaviour its own effects", "one effect for all"])
@pytest.mark.parametrize("name", POPULATIONS)
def test_false_alarms_in_a_family_of_four(name, shared):
    """The set under study is one more draw of its population, 80 items measure each slope with noise."""
    rng, families = np.random.default_rng(5), 1_000
    effects = POPULATIONS[name](rng, (families, 200) if shared else (families, 4, 200))
    effects = np.repeat(effects[:, None], 4, axis=1) if shared else effects
    slopes = np.round(effects + rng.normal(0, 1, effects.shape), 1)  # shares of items come in steps: they tie
    alarms = 0
    for family in slopes:
        p = np.array([two_sided_rank_p(sets[0], sets[1:]) for sets in family])
        alarms += holm(p).min() <= 0.05
    assert alarms / families <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / families)


def test_a_set_unlike_all_others_is_told_apart():
    rng, told = np.random.default_rng(6), 0
    for _ in range(200):
        p = np.array([two_sided_rank_p(own, rng.normal(size=199)) for own in (4.5, *rng.normal(size=3))])
        told += holm(p)[0] <= 0.05
    assert told >= 180


def test_a_null_takes_about_a_dozen_sets():
    rng, needed = np.random.default_rng(7), []
    for _ in range(300):
        own, sets = rng.normal(), rng.normal(size=199)
        needed.append(next((n for n in range(1, 200) if settled(own, sets[:n])), 199))
    assert 8 <= np.median(needed) <= 24
