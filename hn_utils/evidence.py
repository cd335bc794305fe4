"""What a claim is put to besides its random sets: other rules, other places to read, other domains, other strengths,
everyday answers. Each takes what the road left behind; each has its place in a notebook."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import product

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression

from hn_utils import road
from hn_utils.baselines import Added, added, coordinates, l2_probe, read, residual_probe, share_by_kind
from hn_utils.calibration import Reliability, reliability, risk_coverage
from hn_utils.contributions import REGIONS, capture, mean_contributions
from hn_utils.controls import Estimate, accuracy, auroc, beyond_random, bootstrap, mean, random_sets, shuffled
from hn_utils.intervene import UNSCALED, Dose, dosed
from hn_utils.items import outcomes, plain_item
from hn_utils.judges import normalise
from hn_utils.l1_path import Fit, c_grid
from hn_utils.probe import Detection, NoHNeurons, Probe, detect, refit, refits, three_vs_one
from hn_utils.questions import Question, question_module
from hn_utils.replies import replies_at, text_loss
from hn_utils.responses import Example, NothingConsistent, Response, build_examples
from hn_utils.road import Collected, Found, balanced, few_known, fit_on, over_sets, scores_of
from hn_utils.stability import Group, Stability, stability, twins
from hn_utils.study import Study
from hn_utils.subject import Subject
from hn_utils.tall_matrix import TallMatrix

MIN_TO_TRAIN = 15  # answers of either kind, below which nothing is trained on a domain, or on base answers
BREAKING = (1.0, 3.0, 5.0, 10.0, 20.0, 40.0)
N_BREAKING_SETS = 5
N_MADE_UP, N_PLANTED = 3_000, 5
AS_LOUD, MIN_STAND_INS = 1.25, 10


def found_groups(study: Study, collected: Collected, found: Found, halves: Stability) -> list[Group]:
    """The neurons found in any half, as groups of those whose contributions go together over the training answers."""
    train, X, _ = training_rows(study, collected, found)
    return halves.groups(X[np.arange(len(train))])


def training_rows(study: Study, collected: Collected, found: Found) -> tuple[np.ndarray, TallMatrix, np.ndarray]:
    """What the probe was trained on: indices of the examples, rows and their labels."""
    train = balanced(collected.rows("train"), collected.labels, study.seed)
    read, labels = collected.contributions[train], collected.labels[train]
    return train, *three_vs_one(read, labels, found.probe.region, found.probe.other)


def find_again(study: Study, collected: Collected, found: Found) -> tuple[Stability, Stability]:
    """Stability of the probe's neurons over halves of the training people, up to the chosen C; the same with right and
    wrong shuffled, which leaves only the neurons that know where answers stand."""
    train, X, y = training_rows(study, collected, found)
    grid = np.array([fit.C for fit in found.probe.path if fit.C <= found.probe.fit.C])
    groups, labels = np.tile(collected.entities[train], 2), collected.labels[train]
    noise = np.concatenate([shuffled(labels, study.seed), y[len(labels) :]])
    own, by_chance = (stability(X, truth, groups, grid, seed=study.seed) for truth in (y, noise))
    return own, by_chance


@dataclass(frozen=True)
class PaperRule:
    """The paper's own way of choosing C, on validation people, for every fit of the path that has H-Neurons.

    `accuracy` is balanced, at score 0; `recall` the share of questions that the model still answers rightly with that
    fit's H-Neurons suppressed, `recall_unscaled` without. The paper adds the first two and takes the best sum; how
    strongly it suppressed, and on which questions, it does not say: here alpha is 0. Accuracy is over `n_answers`
    consistent answers, recall over `n_questions` questions.
    """

    fits: list[Fit]
    accuracy: list[float]
    recall: list[float]
    recall_unscaled: float
    n_answers: int
    n_questions: int

    @property
    def chosen(self) -> int:
        return int(np.argmax(np.add(self.accuracy, self.recall)))


def by_paper_rule(study: Study, collected: Collected, found: Found) -> PaperRule:
    """Suppress each fit's H-Neurons in turn and ask validation questions again."""
    fits = [fit for fit in found.probe.path if len(fit.h_neurons)]
    rows = collected.rows("validation")
    X, labels = collected.contributions[rows].at(found.probe.region), collected.labels[rows]
    asked = [q for q in collected.questions if q.part == "standard" and q.split == "validation"]
    items = [plain_item(q, study) for q in asked]
    doses = [UNSCALED, *(Dose(fit.h_neurons, 0.0) for fit in fits)]
    right = outcomes(items, replies_at(collected.subject, items, doses, study), study) == "complied"
    unscaled, *suppressed = right.mean(0).tolist()
    accuracies = [accuracy(labels, fit.score(X)) for fit in fits]
    return PaperRule(fits, accuracies, suppressed, unscaled, len(rows), len(asked))


def oracle(examples: Sequence[Example]) -> dict[str, np.ndarray]:
    """The score of somebody who knows how often each fact was read, where that is known."""
    exposures = [e.question.strata.get("exposure") for e in examples]
    return {} if None in exposures else {"oracle: exposure in training": -np.array(exposures, float)}


@dataclass(frozen=True)
class Compared:
    """The detection table with what stands beside H-Neurons, and whether they add to confidence."""

    table: list[Detection]
    added: Added


def compare(study: Study, collected: Collected, found: Found) -> Compared:
    """Read every baseline on the test sets: dense probes on all neurons and on the residual stream, uncertainty,
    answer length, and exposure where it is known. What has to be chosen is chosen on validation."""
    train = balanced(collected.rows("train"), collected.labels, study.seed)
    validation, labels = collected.rows("validation"), collected.labels
    readings = read(collected.subject, collected.kept, study)
    X = collected.contributions.at(found.probe.region)
    layer, residual = residual_probe(readings.residual, labels, train, validation)
    _, dense = l2_probe(coordinates(X, train), labels, train, validation)
    kinds = share_by_kind([e.text for e in collected.kept], labels, train)
    longer = 1 if auroc(labels[train], readings.length[train]) >= 0.5 else -1
    scores = {
        "all neurons, L2 probe": dense,
        f"residual stream, L2 probe (layer {layer})": residual,
        "entropy": readings.entropy,
        "margin of the likeliest token": -readings.margin,
        f"answer length ({'longer' if longer > 0 else 'shorter'} is made up)": longer * readings.length,
        "kind of answer (digits, words)": kinds,
        **oracle(collected.kept),
    }
    table = list(found.table)
    for part, title in question_module(study).PARTS.items():
        rows = collected.test_rows(part)
        if len(set(labels[rows])) == 2:
            groups = collected.entities[rows]
            table += [detect(name, title, labels[rows], s[rows], groups) for name, s in scores.items()]
    own, sure, test = found.refitted.score(X), collected.confidence, collected.test_rows("standard")
    before, random = (own[validation], sure[validation], labels[validation]), found.random["magnitude"]
    groups, others = collected.entities[test], scores_of(random, X[test])
    return Compared(table, added(own[test], sure[test], labels[test], groups, before, others))


# --- can the instrument be trusted? -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    """What stability selection found among made-up contributions of which N_PLANTED neurons know.

    `recall` is the share of these that was found, `false` how many others were: means over a few draws.
    """

    n: int
    strength: float
    correlated: float
    recall: float
    false: float


def plant(n: int, strength: float, correlated: float, seed: int) -> tuple[TallMatrix, np.ndarray, np.ndarray]:
    """`n` answers, half of them made up, of N_MADE_UP neurons: heavy-tailed sizes, of which blocks of fifty share a
    cause to the degree `correlated`. N_PLANTED of them, far apart, are larger in made-up answers, by `strength`
    standard deviations of their logarithm. Returns rows, labels and the planted neurons."""
    rng = np.random.default_rng(seed)
    labels, chosen = rng.permutation(np.repeat([0, 1], n // 2)), np.arange(N_PLANTED) * (N_MADE_UP // N_PLANTED) + 5
    common = rng.normal(size=(len(labels), N_MADE_UP // 50)).repeat(50, 1)
    logs = np.sqrt(1 - correlated) * rng.normal(size=common.shape) + np.sqrt(correlated) * common
    logs[:, chosen] += strength * labels[:, None]
    return TallMatrix([np.exp(0.7 * logs).astype(np.float16)]), labels, chosen


def planted_truth(
    ns: Sequence[int] = (100, 300, 900),
    strengths: Sequence[float] = (0.0, 0.5, 1.0),
    correlations: Sequence[float] = (0.0, 0.5),
    seeds: int = 2,
) -> list[Planted]:
    """Recall and false discoveries of stability selection where the truth is known, against size, signal and
    correlation. At strength 0 nothing is there to be found."""
    results = []
    for correlated, strength, n in product(correlations, strengths, ns):
        hits, others = [], []
        for seed in range(seeds):
            X, labels, chosen = plant(n, strength, correlated, seed)
            stable = stability(X, labels, np.arange(len(labels)), c_grid(X, labels, 30)[:12], 6, seed).stable
            hits.append(np.isin(chosen, stable).mean() if strength else np.nan)
            others.append(np.isin(stable, chosen, invert=True).sum() if strength else len(stable))
        results.append(Planted(n, strength, correlated, float(np.mean(hits)), float(np.mean(others))))
    return results


# --- how much hangs on the choices ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Swapped:
    """Every H-Neuron's twin in its place: mean correlation of the pairs over training answers, the same of as many
    random neurons and their twins, and AUROC on validation answers of H-Neurons and of twins, refitted alike."""

    r: float
    r_random: float
    own: Estimate
    twins: Estimate


def swapped(study: Study, collected: Collected, found: Found) -> Swapped:
    train, X, y = training_rows(study, collected, found)
    answers = X[np.arange(len(train))]  # the other tokens would make all that knows where answers stand alike
    others, r = twins(answers, found.card.flat)
    _, r_random = twins(answers, found.random["magnitude"][0].neurons)
    validation = collected.rows("validation")
    seen = collected.contributions[validation].at(found.probe.region)
    labels, groups = collected.labels[validation], collected.entities[validation]
    own, theirs = (
        bootstrap(auroc, labels, refit(X, y, neurons).score(seen), groups=groups)
        for neurons in (found.card.flat, np.unique(others))
    )
    return Swapped(float(r.mean()), float(r_random.mean()), own, theirs)


@dataclass(frozen=True)
class AsLoud:
    """The H-Neurons that have stand-ins as loud as themselves: `n` of them with at least MIN_STAND_INS others of their
    layer whose mean contribution differs by no more than the factor AS_LOUD. `auroc` on the test set, `beyond` random
    sets of such stand-ins; `loudness` is the mean contribution of these H-Neurons and of the sets (in percent)."""

    n: int
    auroc: Estimate
    beyond: Estimate
    loudness: tuple[float, float]


def as_loud(study: Study, collected: Collected, found: Found, n_sets: int = 100) -> AsLoud | None:
    """Some H-Neurons are louder than every other neuron of their layer: no random set is as loud as they are. Without
    them, the comparison is fair. None if no H-Neuron has stand-ins."""
    _, X, y = training_rows(study, collected, found)
    d_mlp, loud = collected.subject.d_mlp, found.magnitude
    free = np.setdiff1d(np.arange(len(loud)), found.card.flat)

    def stand_ins(neuron: int) -> int:
        near = np.abs(np.log((loud[free] + 1e-9) / (loud[neuron] + 1e-9))) <= np.log(AS_LOUD)
        return int((near & (free // d_mlp == neuron // d_mlp)).sum())

    chosen = np.array([j for j in found.card.flat.tolist() if stand_ins(j) >= MIN_STAND_INS], dtype=int)
    if not len(chosen):
        return None
    shape = (collected.subject.n_layers, d_mlp)
    sets = random_sets(chosen, *shape, n_sets, "magnitude", loud, study.seed, within=AS_LOUD, never=found.card.flat)
    rows = collected.test_rows("standard")
    read, labels, groups = (
        collected.contributions[rows].at(found.probe.region),
        collected.labels[rows],
        collected.entities[rows],
    )
    own, random = refit(X, y, chosen).score(read), scores_of(refits(X, y, sets), read)
    return AsLoud(
        len(chosen),
        bootstrap(auroc, labels, own, groups=groups),
        beyond_random(auroc, own, random, groups, labels),
        (float(100 * loud[chosen].mean()), float(100 * np.mean([loud[s].mean() for s in sets]))),
    )


def judged_again(study: Study, collected: Collected, found: Found) -> dict[str, np.ndarray]:
    """The H-Neurons that the same people's answers would have given had they been drawn or judged otherwise: from half
    of each question's draws, from the other half, and by exact match, the strictest judge there is.

    Left out are those where too little is consistent, or no neuron has a positive weight.
    """
    half = study.sampling.n // 2
    asked = [i for i, q in enumerate(collected.questions) if q.part == "standard" and q.split != "test"]
    questions = [collected.questions[i] for i in asked]

    def exactly(question: Question, drawn: list[Response]) -> list[Response]:
        accepted = {normalise(alias) for alias in question.aliases}
        return [
            replace(r, verdict="wrong") if r.verdict == "right" and normalise(r.text) not in accepted else r
            for r in drawn
        ]

    ways: dict[str, Callable[[Question, list[Response]], list[Response]]] = {
        f"the first {half} draws": lambda _, drawn: drawn[:half],
        f"the last {half} draws": lambda _, drawn: drawn[-half:],
        "exact match": exactly,
    }
    sets = {}
    for name, way in ways.items():
        drawn = [way(q, collected.responses[i]) for q, i in zip(questions, asked, strict=True)]
        with contextlib.suppress(NothingConsistent, NoHNeurons):
            again = answered(study, collected.subject, questions, drawn)
            train, validation = balanced(again.rows("train"), again.labels, study.seed), again.rows("validation")
            counts = [np.bincount(again.labels[rows], minlength=2).min() for rows in (train, validation)]
            if counts[0] >= MIN_TO_TRAIN and counts[1]:
                sets[name] = fit_on(
                    study, again, train, validation, found.probe.region, found.probe.other
                ).fit.h_neurons
    return sets


def answered(study: Study, subject: Subject, questions: list[Question], drawn: list[list[Response]]) -> Collected:
    """These answers filtered and captured, as the road's first step does with its own."""
    examples = build_examples(subject, questions, drawn, study)
    kept = [e for e in examples if e.label is not None]
    return Collected(subject, questions, drawn, examples, kept, capture(subject, kept, study))


def read_elsewhere(study: Study, collected: Collected, found: Found) -> dict[str, Found]:
    """The road's second step again with other rows: other places to read, and other things to set answers against.

    Left out are those where no neuron has a positive weight.
    """
    results = {"answer, 3-vs-1 (the paper's)": found}
    for name, rows in {
        "answer, 3-vs-1 without the first token": {"other": "body"},
        "answer, 1-vs-1": {"other": None},
        "before the answer, 3-vs-1": {"region": "before"},
    }.items():
        with contextlib.suppress(NoHNeurons):
            results[name] = road.find(study, collected, **rows)
    return results


@dataclass(frozen=True)
class Domains:
    """A probe for each domain, tested on all: AUROC of its H-Neurons [trained on, tested on], refitted on the training
    domain, and the mean of as many random neurons of the same layers and loudness. `sets` are the H-Neurons.

    `union` is of the neurons in any of the sets, `intersection` of those in all (None if there are none): refitted on
    all the domains' training answers and tested on all their test answers, each with the mean of its random sets.
    """

    names: list[str]
    sets: dict[str, np.ndarray]
    auroc: list[list[Estimate]]
    random: Float[np.ndarray, "trained tested"]
    union: tuple[Estimate, float]
    intersection: tuple[Estimate, float] | None

    def mean(self, within: bool) -> tuple[float, float]:
        """Mean AUROC of H-Neurons and of random neurons over the diagonal, or off it."""
        chosen = np.eye(len(self.names), dtype=bool) == within
        own = np.array([[e.value for e in row] for row in self.auroc])
        return float(own[chosen].mean()), float(self.random[chosen].mean())


def across_domains(study: Study, collected: Collected, n_sets: int = 20) -> Domains | None:
    """Train on one kind of fact (`attribute`), test on every other, among the standard questions.

    Domains with fewer than MIN_TO_TRAIN right or wrong answers to train or test on, or none to choose C on, are left
    out, and those where no neuron has a positive weight. None if fewer than two are left.
    """
    domain = np.array([str(e.question.strata.get("attribute")) for e in collected.kept])
    labels, shape = collected.labels, (collected.subject.n_layers, collected.subject.d_mlp)
    rows = {
        name: [
            balanced(s[domain[s] == name], labels, study.seed) if split == "train" else s[domain[s] == name]
            for split, s in ((s, collected.rows(s)) for s in ("train", "validation", "test"))
        ]
        for name in sorted(set(domain[collected.rows("train")]))
    }
    sets, fits, controls = {}, {}, {}

    def beside_random(train: np.ndarray, neurons: np.ndarray) -> tuple[Fit, list[Fit]]:
        X, y = three_vs_one(collected.contributions[train], labels[train])
        loudness = collected.contributions[train].at("answer").mean()
        others = random_sets(neurons, *shape, n_sets, "magnitude", loudness, study.seed)
        return refit(X, y, neurons), refits(X, y, others)

    for name, (train, validation, test) in rows.items():
        counts = [min(np.bincount(labels[some], minlength=2)) for some in (train, validation, test)]
        if min(counts[0], counts[2]) < MIN_TO_TRAIN or not counts[1]:
            continue
        try:
            sets[name] = fit_on(study, collected, train, validation).fit.h_neurons
        except NoHNeurons:
            continue
        fits[name], controls[name] = beside_random(train, sets[name])
    if len(sets) < 2:
        return None

    def together(neurons: np.ndarray) -> tuple[Estimate, float] | None:
        if not len(neurons):
            return None
        train, test = (np.concatenate([rows[name][i] for name in sets]) for i in (0, 2))
        fit, others = beside_random(train, neurons)
        X, truth = collected.contributions[test].at("answer"), labels[test]
        own = bootstrap(auroc, truth, fit.score(X), groups=collected.entities[test])
        return own, float(np.mean([auroc(truth, other.score(X)) for other in others]))

    union, shared = (reduce(join, sets.values()) for join in (np.union1d, np.intersect1d))
    both = together(union)
    assert both is not None  # no set is empty
    estimates, random = [], np.zeros((len(sets), len(sets)))
    for i, name in enumerate(sets):
        estimates.append([])
        for j, other in enumerate(sets):
            test = rows[other][2]
            X, truth, groups = collected.contributions[test].at("answer"), labels[test], collected.entities[test]
            estimates[i].append(bootstrap(auroc, truth, fits[name].score(X), groups=groups))
            random[i, j] = np.mean([auroc(truth, fit.score(X)) for fit in controls[name]])
    return Domains(list(sets), sets, estimates, random, both, together(shared))


# --- everyday answers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Everyday:
    """One answer a question as it came, consistent or not, about validation and test people; test ones in `table`.

    `calibrated` holds, by how the H-Neurons' log-odds were
    turned into probabilities, how well these fit the test answers; `risk` the share made up among the k safest.
    """

    answers: Collected
    table: list[Detection]
    added: Added
    calibrated: dict[str, Reliability]
    risk: dict[str, Float[np.ndarray, "answered"]]


def everyday(study: Study, collected: Collected, found: Found) -> Everyday | None:
    """The consistency filter keeps the extremes, and with them makes confidence a perfect judge. Here the first sampled
    answer to each question is taken as it is, unless it abstains; the probes stay those of the filtered answers.

    None if the validation or test answers lack right or wrong ones.
    """
    asked = [i for i, q in enumerate(collected.questions) if q.part == "standard" and q.split != "train"]
    questions, first = [collected.questions[i] for i in asked], [collected.responses[i][:1] for i in asked]
    answers = answered(study, collected.subject, questions, first)
    validation, test, labels = answers.rows("validation"), answers.rows("test"), answers.labels
    if any(len(set(labels[rows])) < 2 for rows in (validation, test)):
        return None
    X = answers.contributions.at(found.probe.region)
    own, sure, groups = found.refitted.score(X), answers.confidence, answers.entities[test]
    before = (own[validation], sure[validation], labels[validation])
    title, k = "everyday answers", len(found.card.rows)
    scores = {"plain confidence (log-probability)": -sure, **oracle(answers.kept)}
    table = [
        detect(
            "L1 probe, all its neurons",
            title,
            labels[test],
            found.probe.fit.score(X[test]),
            groups,
            len(found.probe.fit.neurons),
        ),
        detect("H-Neurons alone, refitted", title, labels[test], own[test], groups, k),
        over_sets(road.RANDOM_NAMES["magnitude"], title, found.random["magnitude"], X[test], labels[test]),
        *(detect(name, title, labels[test], s[test], groups) for name, s in scores.items()),
    ]
    fitted = LogisticRegression(C=100.0).fit(own[validation, None], labels[validation])
    log_odds = {
        "as trained": own[test],
        "fitted to validation people": fitted.decision_function(own[test, None]),
    }
    random = [risk_coverage(labels[test], f.score(X[test])) for f in found.random["magnitude"]]
    return Everyday(
        answers,
        table,
        added(own[test], sure[test], labels[test], groups, before, scores_of(found.random["magnitude"], X[test])),
        {name: reliability(labels[test], values) for name, values in log_odds.items()},
        {
            f"{k} H-Neurons": risk_coverage(labels[test], own[test]),
            "as many random neurons, same layers and loudness (mean)": np.mean(random, 0),
            **{name: risk_coverage(labels[test], s[test]) for name, s in scores.items()},
        },
    )


# --- how far the intervention goes ----------------------------------------------------------------------------------


def joint_scaling(
    collected: Collected, found: Found, alphas: Sequence[float] = (0.0, 0.5, 1.0, 2.0, 3.0), n: int = 200
) -> Float[np.ndarray, "alpha neuron"]:
    """Mean contribution of each H-Neuron at the answer while all are scaled, relative to that at alpha 1.

    The paper takes it to grow in proportion to alpha. It need not: what a neuron says depends on those before it, and
    the layer's whole output, which the contribution is relative to, changes as well.
    """
    examples = [collected.kept[i] for i in collected.test_rows("standard")[:n]]
    means = []
    for alpha in alphas:
        with dosed(collected.subject, [Dose(found.card.flat, alpha)]):
            read_at = mean_contributions(collected.subject, examples)[:, REGIONS.index("answer")]
        means.append(read_at.flatten(1)[:, found.card.flat].mean(0).cpu().numpy())
    return np.array(means) / means[list(alphas).index(1.0)]


@dataclass(frozen=True)
class Breaking:
    """What is left at strengths far beyond the paper's.

    `recall` is the share of known facts still stated, `loss` that of ordinary text above its value at alpha 1 (nats
    per token), by alpha; `control_recall` and `control_loss` [set, alpha] are the same for random sets.
    """

    alphas: tuple[float, ...]
    recall: list[Estimate]
    control_recall: Float[np.ndarray, "set alpha"]
    loss: list[Estimate]
    control_loss: Float[np.ndarray, "set alpha"]


def until_it_breaks(study: Study, subject: Subject, found: Found) -> Breaking:
    """Turn the H-Neurons, and random sets of the same layers and loudness, up until the model breaks."""
    source, card = question_module(study), found.card
    asked = [i for i in source.items(study) if i.behaviour == "recall"]
    items = few_known(study, subject, asked)
    shape = (card.n_layers, card.d_mlp)
    controls = random_sets(card.flat, *shape, N_BREAKING_SETS, "magnitude", found.magnitude, study.seed + 1)
    doses = [Dose(neurons, alpha) for neurons in (card.flat, *controls) for alpha in BREAKING]
    right = outcomes(items, replies_at(subject, items, doses, study), study) == "complied"
    texts, about = zip(*source.texts(study), strict=True)
    loss = text_loss(subject, texts, doses, study)
    above = (loss - loss[:, :1]).reshape(len(loss), -1, len(BREAKING))  # at alpha 1 every set is the same
    own, groups = right[:, : len(BREAKING)].astype(float), [i.entity for i in items]
    return Breaking(
        BREAKING,
        [bootstrap(mean, column, groups=groups) for column in own.T],
        right.reshape(len(items), -1, len(BREAKING))[:, 1:].mean(0),
        [bootstrap(mean, column, groups=about) for column in above[:, 0].T],
        above[:, 1:].mean(0),
    )


# --- the base model's own -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OnBase:
    """A probe trained on the base model's own answers: what one could hope for there. `shared` of its H-Neurons are
    also the instruct model's."""

    probe: Probe
    h_neurons: Estimate
    shared: int


def retrained_on_base(study: Study, base: Subject, found: Found) -> OnBase | None:
    """None if the base model gives too few consistent answers, or no neuron a positive weight."""
    try:
        own = road.collect(study, base, base=True, base_splits=("train", "validation", "test"))
    except NothingConsistent:
        return None
    labels, there = own.labels, own.contributions
    train, validation, test = (own.rows(split) for split in ("train", "validation", "test"))
    if any(min(np.bincount(labels[rows], minlength=2)) < MIN_TO_TRAIN for rows in (train, validation, test)):
        return None
    train = balanced(train, labels, study.seed)
    try:
        probe = fit_on(study, own, train, validation)
    except NoHNeurons:
        return None
    X, y = three_vs_one(there[train], labels[train])
    scores = refit(X, y, probe.fit.h_neurons).score(there[test].at("answer"))
    shared = len(set(probe.fit.h_neurons) & set(found.card.flat))
    return OnBase(probe, bootstrap(auroc, labels[test], scores, groups=own.entities[test]), shared)
