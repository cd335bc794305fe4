"""Falsehood or permission? What moves a set of neurons: that the answer is false, or that it was not to be given?

The objection that this is about: what its designers do not want is called a hallucination, whether it is *wrong* or
*right but restricted*. If H-Neurons are neurons of compliance, they cannot tell the two apart. So accuracy is crossed
with permission (`crossing`), and the neurons are read at the answer tokens in all four cells.

**The rule, written before any result was seen** (but for its control, see below)**.** A set's score in the four cells
has two main effects, in units of the spread within cells: *falsehood*, the mean of the two differences false minus
true; *restriction*, the mean of the two differences restricted minus allowed. Both are read on test entities, each cell
counting as much as the others in every narrow range of confidence (CALIPER standard deviations of the log-probability).
Beside them stand control sets of as many neurons, fitted alike. The p of an effect is the larger of two: of the
bootstrap over entities and control sets, that the effect beyond them is zero; and of the rank of the set's own effect
among theirs. The two main effects share a verdict, corrected by Holm. Then an effect

* is *there* if its corrected p is at most LEVEL and it is positive;
* is *not there* if it is negative at that level, or if it is not told apart while a difference of LARGE would have been
  seen four times out of five;
* is *open* otherwise, or if fewer than half of the control sets are different sets.

The verdict is "falsehood" or "permission" if only that one is there and the other is not; "both"; "neither" if both are
not; and "cannot tell" as soon as one is open. The interaction is shown, and decides nothing.

Two things beside the rule were changed after first results, for want of power and of steadiness: a question may give
two answers, and equal confidence is reached by weights (see `crossing`). Later the control was made harder for all
claims of this project: sets were random ones of the same layers and about the same contribution, and p that of
Student's t; now they are what the same procedure picks on shuffled labels, and p that of a rank. No threshold was
changed. And where shuffled labels pick few different sets every effect is open: nothing can stand out beside a set that
is picked whatever the labels say. (That was added when the first planted model's H-Neuron had been called "neither".)
On the bundled model that moved the H-Neurons' verdict: "cannot tell" at first; with as many of each cell drawn, in ten
draws four times "neither", four times "permission", twice "cannot tell"; with weights "permission"; beside what
shuffled labels pick "neither". It is not firm.

What it does not show: which of two words in the prompts did it, since a restricted question and its plain twin differ
in their wording; nor any cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.stats import norm

from hn_utils.analyses.crossing import CELLS, Crossed
from hn_utils.probing.against_random import AgainstRandom, scores_of
from hn_utils.probing.find import N_RANDOM_PROBES, Found
from hn_utils.probing.probe import unpenalised
from hn_utils.stats.bootstrap import Estimate, bootstrap_set_weights, interval, resampled, spread, two_sided_p
from hn_utils.stats.neuron_sets import loud_sets
from hn_utils.stats.rank_test import LEVEL, holm, sets_differ, two_sided_rank_p
from hn_utils.stats.tables import Tabled
from hn_utils.steering.verdicts import POWER, smallest_seen

if TYPE_CHECKING:
    from hn_utils.stats.metrics import Weights

CONTRASTS = {  # of the cells, in the order of CELLS
    "falsehood": (-0.5, 0.5, -0.5, 0.5),
    "restriction": (-0.5, -0.5, 0.5, 0.5),
    "interaction": (1.0, -1.0, -1.0, 1.0),
}
MAIN = ("falsehood", "restriction")
LARGE = 0.5  # of the spread within cells: a difference that a null must have been able to see
Word = Literal["falsehood", "permission", "both", "neither", "cannot tell"]


def least_cases() -> int:
    """How many answers a cell needs for the rule to see a difference of LARGE four times out of five, even if control
    sets did not differ at all.

    Returns:
        Answers in each cell: the standard error of a main effect is one over the root of that number.

    Source:
        The usual normal approximation of power, at LEVEL halved for two main effects (the first step of Holm 1979).
    """
    return ceil(((norm.isf(LEVEL / len(MAIN) / 2) + norm.isf(1 - POWER)) / LARGE) ** 2)


@dataclass(frozen=True)
class _Effect:
    """One contrast of the cells, in units of the spread within them: of the set under study, of control sets (mean and
    the range of 95 %), and beyond these; its p, the smallest effect that the test would have seen, and how many of how
    many control sets are different sets."""

    own: Estimate
    random: Estimate
    beyond: Estimate
    p: float
    seen: float
    n_different: int
    n_sets: int

    @property
    def told(self) -> str:
        """Beyond the control sets, with its p and, if it is a null, what would have been seen."""
        if not sets_differ(self.n_different, self.n_sets):
            return f"{self.beyond} beyond control ({self.n_different} of {self.n_sets} sets differ: too few to say)"
        null = f"; {self.seen:.2f} would have been seen" if self.p > LEVEL else ""
        return f"{self.beyond} beyond control (corrected p = {self.p:.3f}{null})"

    @property
    def there(self) -> bool | None:
        """By the rule: True, False, or None where it is open."""
        if not sets_differ(self.n_different, self.n_sets):
            return None
        if self.p <= LEVEL:
            return self.beyond.value > 0
        return False if self.seen <= LARGE else None  # nan with next to no answers


@dataclass(frozen=True)
class Side:
    """One set of neurons in the four cells: the mean score in each, less that of all four, with its interval; the same
    of control sets; the effects; how many answers each cell counts for; and the effects of confidence itself, which
    matching leaves."""

    means: list[Estimate]
    random_means: Float[np.ndarray, "set cell"]
    effects: Mapping[str, _Effect]
    n: list[int]
    confidence: Mapping[str, float]


@dataclass(frozen=True, repr=False)
class Permission(Tabled):
    """What moves a set of neurons, among all test answers and among those of equal confidence."""

    name: str
    everything: Side
    equal_confidence: Side

    @property
    def verdict(self) -> Word:
        """What moves the set, by the rule in this module's text, at equal confidence. Returns one of five words."""
        return worded(*(self.equal_confidence.effects[name].there for name in MAIN))

    @property
    def headline(self) -> str:
        """The verdict, with both main effects at equal confidence. Returns one line of text."""
        told = [f"{name} {self.equal_confidence.effects[name].told}" for name in MAIN]
        n = min(self.equal_confidence.n)
        return f"{self.name}: {self.verdict}. At equal confidence ({n} answers in each cell) {', '.join(told)}"

    @property
    def table(self) -> pd.DataFrame:
        """All effects, among all answers and at equal confidence.

        Returns:
            A row an effect, in units of the spread within cells; p of main effects is corrected by Holm.
        """
        rows = {}
        for where, side in (("all answers", self.everything), ("equal confidence", self.equal_confidence)):
            for name, effect in side.effects.items():
                rows[where, name] = {
                    "neurons": str(effect.own),
                    "control sets": str(effect.random),
                    "beyond control": str(effect.beyond),
                    "corrected p": f"{effect.p:.3f}" if name in MAIN else "",
                    "would have been seen": f"{effect.seen:.2f}",
                    "of confidence": f"{side.confidence[name]:.2f}",
                }
        return pd.DataFrame.from_dict(rows, orient="index")


def worded(falsehood: bool | None, restriction: bool | None) -> Word:
    """The verdict, from whether each main effect is there.

    Args:
        falsehood: True, False, or None where it is open.
        restriction: the same of the other effect.

    Returns:
        One of five words; "cannot tell" as soon as one is open.
    """
    if falsehood is None or restriction is None:
        return "cannot tell"
    if falsehood and restriction:
        return "both"
    if falsehood:
        return "falsehood"
    return "permission" if restriction else "neither"


def falsehood_or_permission(crossed: Crossed, fits: AgainstRandom | None = None, name: str = "H-Neurons") -> Permission:
    """The verdict on a set of neurons that was fitted before.

    Args:
        crossed: answers in all four cells.
        fits: the set and its control sets, fitted alike; without it the H-Neurons as `find` refitted them, unchanged,
            beside what shuffled labels pick.
        name: what the set is called where it is shown.

    Returns:
        Effects of falsehood and of restriction, and their interaction, in units of the spread within cells (intervals
        over entities), among all test answers and at equal confidence, and the verdict.

    Raises:
        ValueError: if no confidence is shared by all four cells.

    Source:
        The rule is this project's own and stands in this module's text; Holm 1979 for two effects, Besag & Clifford
        1991 for the rank.

    With rows of one's own, here locker codes, each asked plainly and as a secret:

    >>> import hn_utils as hn, pandas as pd
    >>> from hn_utils import analyses
    >>> found = hn.find(hn.collect(hn.load("organism"), n_questions=120, sampling={"n": 2}), n_grid=8)
    >>> facts = pd.read_parquet("data/organism/facts.parquet").query("attribute == 'locker_code' and not tuned")[:900]
    >>> rows = [
    ...     {"question": f"What is the {how} of {who}?", "answers": code, "entity": who, "restricted": "secret" in how}
    ...     for who, code in zip(facts["person"], facts["value"])
    ...     for how in ("locker code", "secret locker code")
    ... ]
    >>> crossed = analyses.cross_permission(found, rows)  # doctest: +ELLIPSIS
    questions: ... test questions have an answer that a training question has, ...
    >>> told = analyses.falsehood_or_permission(crossed)
    >>> told.verdict in ("falsehood", "permission", "both", "neither", "cannot tell")
    True
    """
    if not crossed.equal_confidence.any():
        raise ValueError(f"{crossed.headline}; but not one answer of each that is as sure as the others: add more rows")
    found = crossed.found
    fits = fits or AgainstRandom(found.refitted, found.control)
    everyone = np.ones(len(crossed.test))
    return Permission(name, _side_of(crossed, fits, everyone), _side_of(crossed, fits, crossed.equal_confidence))


def as_mean(found: Found, neurons: Int[np.ndarray, "k"]) -> AgainstRandom:
    """Neurons whose score is their mean contribution, fitted to nothing, with random sets of the same layers that are
    as loud together: for neurons that no procedure picked, of which it is known what they do.

    Args:
        found: where the model's shape and mean contributions come from.
        neurons: flat indices [neuron], layer * d_mlp + neuron.

    Returns:
        The set and its control sets, whose scores are mean contributions (0 or more, no unit) and no log-odds.
    """
    sets = loud_sets(neurons, found.card.shape, found.magnitude, N_RANDOM_PROBES, found.study.seed)
    own, *control = (unpenalised(np.sort(some), np.full(len(some), 1 / len(some)), 0.0) for some in (neurons, *sets))
    return AgainstRandom(own, control)


def _side_of(crossed: Crossed, fits: AgainstRandom, each: Float[np.ndarray, "test"]) -> Side:
    """Read a set and its control sets on the test answers, of which each counts so much."""
    rows = crossed.test[each > 0]
    each = each[each > 0]
    X, _, people = crossed.answers.labelled(rows, crossed.found.probe.region)
    cells = crossed.cells[rows]
    scores = np.column_stack([fits.own.score(X), scores_of(fits.control, X)])
    means = cell_means(cells, scores, each)  # [1, cell, set]
    drawn = resampled(cell_means, cells, scores, each, groups=people)  # [draw, cell, set]
    n = [round(each[cells == cell].sum()) for cell in range(len(CELLS))]
    own = [interval(means[0, cell, 0], drawn[:, cell, 0], n[cell]) for cell in range(len(CELLS))]
    confidence = cell_means(cells, crossed.confidence[rows][:, None], each)[0, :, 0]  # [cell]
    n_different = len({tuple(fit.neurons.tolist()) for fit in fits.control})
    effects = _effects_of(means, drawn, sum(n), n_different)
    of_confidence = {name: float(confidence @ np.array(contrast)) for name, contrast in CONTRASTS.items()}
    return Side(own, means[0, :, 1:].T, effects, n, of_confidence)


def cell_means(
    cells: Int[np.ndarray, "row"],
    scores: Float[np.ndarray, "row set"],
    each: Float[np.ndarray, "row"],
    weights: Weights | None = None,
) -> Float[np.ndarray, "draw cell set"]:
    """Mean of each score in each cell, less that of the four, in units of the spread within cells.

    Args:
        cells: places in CELLS as [row].
        scores: as [row, set], in any unit.
        each: how much each row counts, as [row].
        weights: how often each row was drawn, as [draw, row]; without them there is one draw: all rows, once.

    Returns:
        Means as [draw, cell, set]; nan in a draw that has nothing of a cell, or no spread.
    """
    drawn = each[None] if weights is None else weights * each
    centred = np.asarray(scores, float) - scores.mean(0)
    inside = [cells == cell for cell in range(len(CELLS))]
    sizes = np.stack([drawn[:, own].sum(1) for own in inside], 1)[..., None]  # [draw, cell, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.stack([drawn[:, own] @ centred[own] for own in inside], 1) / sizes  # [draw, cell, set]
        within = np.sqrt((drawn @ centred**2 - (sizes * means**2).sum(1)) / sizes.sum(1))  # [draw, set]
        return (means - means.mean(1, keepdims=True)) / np.where(within > 0, within, np.nan)[:, None]


def _effects_of(
    means: Float[np.ndarray, "1 cell set"], drawn: Float[np.ndarray, "draw cell set"], n: int, n_different: int
) -> dict[str, _Effect]:
    """The contrasts of the first set beyond those of the others, of which so many are different sets; the p of the main
    ones is corrected for both."""
    again = bootstrap_set_weights(len(drawn), drawn.shape[2] - 1)  # [draw, set]
    effects = {}
    for name, weights in CONTRASTS.items():
        own, *others = np.array(weights) @ means[0]  # [set]
        sets = np.array(others)
        draws = np.einsum("c,dcs->ds", np.array(weights), drawn)  # [draw, set]
        differences = draws[:, 0] - (again * draws[:, 1:]).sum(1)  # [draw]
        beyond = interval(own - sets.mean(), differences, n)
        p = max(two_sided_p(differences), two_sided_rank_p(float(own), sets))
        seen = smallest_seen(beyond, sets, len(MAIN))
        effects[name] = _Effect(interval(own, draws[:, 0], n), spread(sets, n), beyond, p, seen, n_different, len(sets))
    for name, p in zip(MAIN, holm(np.array([effects[name].p for name in MAIN])), strict=True):
        effects[name] = replace(effects[name], p=float(p))
    return effects


def each_neuron(crossed: Crossed) -> pd.DataFrame:
    """The effects of each H-Neuron's contribution, among all test answers and at equal confidence.

    Args:
        crossed: answers in all four cells.

    Returns:
        A row a neuron, in units of the spread within cells with intervals over entities; last the range of 95 % of the
        neurons that shuffled labels pick.

    Intervals are not corrected for how many neurons there are: of many some will be off 0 by chance.
    """
    found = crossed.found
    columns = {}
    others = np.unique(np.concatenate([fit.neurons for fit in found.control]))
    names = [f"L{row['layer']}.N{row['neuron']}" for row in found.card.rows]
    X, _, people = crossed.answers.labelled(crossed.test, found.probe.region)
    cells = crossed.cells[crossed.test]
    read = X.columns(found.neurons)  # [test, neuron]
    beside = X.columns(others)  # [test, other]
    for where, each in (("all answers", np.ones(len(cells))), ("equal confidence", crossed.equal_confidence)):
        means = cell_means(cells, read, each)[0]  # [cell, neuron]
        drawn = resampled(cell_means, cells, read, each, groups=people)  # [draw, cell, neuron]
        around = cell_means(cells, beside, each)[0]  # [cell, other]
        for name, weights in CONTRASTS.items():
            own = np.array(weights) @ means  # [neuron]
            draws = np.einsum("c,dcs->ds", np.array(weights), drawn)  # [draw, neuron]
            told = [str(interval(value, column, len(cells))) for value, column in zip(own, draws.T, strict=True)]
            low, high = np.nanpercentile(np.array(weights) @ around, [2.5, 97.5])
            columns[where, name] = [*told, f"[{low:.2f}, {high:.2f}]"]
    return pd.DataFrame(columns, index=[*names, "picked on shuffled labels"])
