"""Sets of neurons that a claim stands beside: random ones, those of the same layers, those as loud together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

_EQUAL = 0.1  # sets whose summed mean contributions differ by no more than this share of them count as equally loud
_ORDERS = 20  # of a layer's neurons, in which a set is looked for
_LOUDER = 20.0  # times as far from 1 as the studied neurons' alpha may a quieter set's be


@dataclass(frozen=True)
class Match:
    """How random sets resemble the chosen neurons.

    `by="layer"` keeps the number per layer; `by="magnitude"` moreover draws each stand-in from the 5 % of its layer
    nearest in `magnitude` (say, length of its weights). Of a neuron that is larger than all others the nearest are
    still smaller: `loud_sets` are for that.
    """

    by: str = "none"
    magnitude: Float[np.ndarray, "layer_neuron"] | None = None

    def __post_init__(self) -> None:
        if self.by not in ("none", "layer", "magnitude"):
            raise ValueError(f"match={self.by!r}: choose none, layer or magnitude")
        if self.by == "magnitude" and self.magnitude is None:
            raise ValueError("match='magnitude' needs the magnitude of every neuron")


def random_sets(
    chosen: Int[np.ndarray, "k"], shape: tuple[int, int], n_sets: int, match: Match | None = None, seed: int = 0
) -> list[Int[np.ndarray, "k"]]:
    """Sets of other neurons, as many as the chosen ones, drawn without replacement from anywhere or as `match` says.

    Args:
        chosen: flat indices, [k], which no set may hold.
        shape: layers of the model, and neurons in each.
        n_sets: how many sets.
        match: how the sets resemble the chosen neurons; None for not at all.
        seed: of the draws.

    Returns:
        Sets of flat indices, [k] each, in rising order. Two sets may share neurons. Random neurons are a control that
        almost any neuron picked by its contribution beats: see `hn_utils.probing.selected_null` for the hardest one.

    Raises:
        ValueError: too few other neurons are left for a set, or for the stand-ins of a neuron.
    """
    match = match or Match()
    n_layers, d_mlp = shape
    rng = np.random.default_rng(seed)
    chosen = np.sort(np.asarray(chosen))
    allowed = np.setdiff1d(np.arange(n_layers * d_mlp), chosen)
    if len(allowed) < len(chosen):
        raise ValueError(f"{len(chosen)} neurons leave only {len(allowed)} others to draw from")
    if match.by == "none":
        return [np.sort(rng.choice(allowed, len(chosen), replace=False)) for _ in range(n_sets)]
    pools = _stand_ins(chosen, allowed, d_mlp, match)
    places = [{neuron: place for place, neuron in enumerate(pool)} for pool in pools]
    return [_one_of_each(pools, places, rng) for _ in range(n_sets)]


def _stand_ins(
    chosen: Int[np.ndarray, "k"], allowed: Int[np.ndarray, "n"], d_mlp: int, match: Match
) -> list[list[int]]:
    """For each chosen neuron those that may stand in for it, in rising order."""
    found = []
    for neuron in chosen:
        pool = allowed[allowed // d_mlp == neuron // d_mlp]
        if match.magnitude is not None and match.by == "magnitude":
            nearest = np.argsort(np.abs(match.magnitude[pool] - match.magnitude[neuron]))
            pool = pool[nearest[: max(len(chosen) + 1, d_mlp // 20)]]
        found.append(np.sort(pool).tolist())
    return found


def _one_of_each(
    pools: list[list[int]], places: list[dict[int, int]], rng: np.random.Generator
) -> Int[np.ndarray, "k"]:
    """A set with one neuron from each pool, none of them twice; `places` say where in its pool each neuron is."""
    drawn: list[int] = []
    for pool, place in zip(pools, places, strict=True):
        taken = sorted(place[d] for d in drawn if d in place)
        if len(taken) == len(pool):
            raise ValueError("a neuron has too few others of its layer to stand in for it: match by none")
        pick = int(rng.integers(len(pool) - len(taken)))
        for t in taken:  # count past those that are taken
            pick += pick >= t
        drawn.append(pool[pick])
    return np.sort(drawn)


def nearest_in_loudness(
    neuron: int, shape: tuple[int, int], magnitude: Float[np.ndarray, "layer_neuron"], n: int
) -> Int[np.ndarray, "n"]:
    """The neurons of one's own layer that are nearest to it in `magnitude`.

    Args:
        neuron: flat index.
        shape: layers of the model, and neurons in each.
        magnitude: mean contribution of every neuron, [layer * neuron], without unit.
        n: how many.

    Returns:
        Flat indices, [n], in rising order. Of the loudest neuron of a layer the nearest are all quieter.

    Raises:
        ValueError: the layer has no `n` others.
    """
    d_mlp = shape[1]
    layer = neuron // d_mlp
    others = np.setdiff1d(np.arange(layer * d_mlp, (layer + 1) * d_mlp), [neuron])
    if not 0 < n <= len(others):
        raise ValueError(f"{n} other neurons were asked for: a layer of {d_mlp} has 1 to {len(others)} beside one")
    apart = np.abs(magnitude[others] - magnitude[neuron])
    return np.sort(others[np.argsort(apart, kind="stable")[:n]])


def loud_sets(
    chosen: Int[np.ndarray, "k"],
    shape: tuple[int, int],
    magnitude: Float[np.ndarray, "layer_neuron"],
    n_sets: int,
    seed: int = 0,
) -> list[Int[np.ndarray, "m"]]:
    """Random sets of other neurons that are together as loud as the chosen ones, layer by layer.

    L1 picks neurons that are louder than nearly all others, so that as many random ones are far quieter. Here each set
    takes neurons of a layer, in random order, until their summed `magnitude` (mean contribution) comes nearest to that
    of the chosen ones of this layer; other orders are tried, if that is not within EQUAL. So a set holds more neurons
    than there are chosen ones. Where all others of a layer are quieter together than its chosen ones it takes them all:
    `Control.disturbance` then tells what is missing.

    Args:
        chosen: flat indices, [k].
        shape: layers of the model, and neurons in each.
        magnitude: mean contribution of every neuron, [layer * neuron], without unit.
        n_sets: how many sets.
        seed: of the draws.

    Returns:
        Sets of flat indices, [m] each, in rising order; `m` differs between sets. Equal sums of lengths are no equal
        effect: writes in different directions cancel.

    Raises:
        ValueError: no layer of the chosen neurons has others.
    """
    rng = np.random.default_rng(seed)
    d_mlp = shape[1]
    chosen = np.asarray(chosen)
    layers = []
    for layer in np.unique(chosen // d_mlp):
        others = np.setdiff1d(np.arange(layer * d_mlp, (layer + 1) * d_mlp), chosen)
        if len(others):
            layers.append((others, magnitude[chosen[chosen // d_mlp == layer]].sum()))
    if not layers:
        raise ValueError(f"{len(chosen)} neurons are all of their layers: no others are left to draw from")
    return [
        np.sort(np.concatenate([_as_loud(pool, wanted, magnitude, rng) for pool, wanted in layers]))
        for _ in range(n_sets)
    ]


def _as_loud(
    pool: Int[np.ndarray, "n"], wanted: float, magnitude: Float[np.ndarray, "layer_neuron"], rng: np.random.Generator
) -> Int[np.ndarray, "some"]:
    """Neurons of one layer, of one order of several, whose summed magnitude is nearest to what is wanted."""
    best = pool
    off = np.inf
    for _ in range(_ORDERS):
        order = rng.permutation(pool)
        so_far = np.cumsum(magnitude[order], dtype=float)
        nearest = int(np.argmin(np.abs(so_far - wanted)))
        apart = abs(so_far[nearest] - wanted)
        if apart < off:
            best = order[: nearest + 1]
            off = apart
        if off <= _EQUAL * wanted:
            break
    return best


@dataclass(frozen=True)
class Control:
    """A set of neurons (flat) that is scaled beside those under study, and what it is multiplied by in their place.

    `loudness` is its summed mean contribution over that of the neurons under study. The set is turned so far that its
    summed contribution changes by as much as theirs. That is a sum of lengths: writes in different directions add up to
    less, and more so where there are more of them.
    """

    neurons: Int[np.ndarray, "m"]
    loudness: float

    def alpha(self, of_studied: float) -> float:
        """What this set is multiplied by where the neurons under study are multiplied by `of_studied`.

        Equally loud sets get the same. Others are turned further, or less far; but never below 0, and LOUDER times as
        far at most.

        Args:
            of_studied: alpha of the neurons under study; 1 changes nothing.

        Returns:
            Alpha of this set, 0 or more.
        """
        if abs(self.loudness - 1) <= _EQUAL:
            return of_studied
        further = min(1 / max(self.loudness, 1e-9), _LOUDER)
        return max(0.0, 1 + (of_studied - 1) * further)

    def reached(self, of_studied: float) -> float:
        """The alpha of the neurons under study at which they would change by as much as this set does.

        Where the set is quieter and cannot be turned below 0, it lies nearer to 1 than theirs.

        Args:
            of_studied: alpha of the neurons under study.

        Returns:
            An alpha of theirs.
        """
        if abs(self.loudness - 1) <= _EQUAL:
            return of_studied
        return 1 + (self.alpha(of_studied) - 1) * self.loudness

    def disturbance(self, of_studied: float) -> float:
        """How much this set changes over what the neurons under study change at that alpha: 1 is as much.

        Args:
            of_studied: alpha of the neurons under study, other than 1.

        Returns:
            A ratio of summed contributions, without unit. It is no measure of what the change does to the answer.

        Raises:
            ZeroDivisionError: `of_studied` is 1, where nothing changes.
        """
        return abs(self.alpha(of_studied) - 1) * self.loudness / abs(of_studied - 1)


def control_of(
    neurons: Int[np.ndarray, "m"], studied: Int[np.ndarray, "k"], magnitude: Float[np.ndarray, "layer_neuron"]
) -> Control:
    """A set of neurons as a control of those under study.

    Args:
        neurons: the set, flat indices, [m].
        studied: the neurons under study, flat indices, [k].
        magnitude: mean contribution of every neuron, [layer * neuron], without unit.

    Returns:
        The set with its loudness.

    Raises:
        ValueError: the neurons under study contribute nothing.
    """
    of_studied = float(magnitude[studied].sum())
    if not of_studied > 0:
        raise ValueError("the neurons under study contribute nothing: there is nothing to disturb as much as")
    return Control(np.asarray(neurons), float(magnitude[neurons].sum()) / of_studied)
