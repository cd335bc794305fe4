"""Which sentences of the paper hold on this model? Each beside what the paper gives, what was measured, its control."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hn_utils.compliance import BEHAVIOURS, DoseResponse
from hn_utils.controls import Estimate, accuracy, beyond_random
from hn_utils.evidence import Compared, Everyday
from hn_utils.origins import Drift, Transfer
from hn_utils.probe import row_of
from hn_utils.questions import question_module
from hn_utils.road import Collected, Found, Intervened, Origins, scores_of
from hn_utils.study import Study

VERDICTS = ("replicates", "weaker", "absent", "contradicts", "cannot say")
# Table 1: smallest and largest gain in accuracy over random neurons, points, six models. A part that the paper does not
# have is set beside NQ-Open, its nearest other question set.
PAPER_GAINS = {"standard": (14.0, 19.9), "nq_open": (8.3, 15.4), "bioasq": (7.4, 16.7), "nonexist": (-7.5, 37.7)}
PAPER_TRANSFER = 0.86  # the Mistral bases on TriviaQA
PAPER_SLOPE = 2.4  # mean of the large models, points per alpha
PAPER_SLOPES = "rises, on average 2.4 (large models) to 3.0 (small) points per alpha; no control"
ENOUGH_NEURONS = 100_000  # in a smaller model a handful is more than one in a thousand


@dataclass(frozen=True)
class Finding:
    """One sentence of the paper and what became of it."""

    claim: str
    paper: str
    ours: str
    verdict: str


def gain_verdict(gain: Estimate, least: float) -> str:
    """Of a gain over random neurons in points: weaker if it is there but below the paper's smallest; absent only if its
    interval leaves no room for that smallest either."""
    if np.isnan(gain.value):
        return "cannot say"
    if gain.low > 0:
        return "replicates" if gain.value >= least else "weaker"
    if gain.high < 0:
        return "contradicts"
    return "cannot say" if gain.high >= least > 0 else "absent"


def slope_verdict(curve: DoseResponse) -> str:
    """Absent only if the interval leaves no room for the paper's smaller mean slope."""
    if curve.verdict() == "not told apart from random neurons":
        return "absent" if curve.slope_beyond_random().high < PAPER_SLOPE else "cannot say"
    return {"rises": "replicates", "falls": "contradicts"}.get(curve.verdict(), "cannot say")


def transfer_verdict(base: Transfer) -> str:
    """Replicates if the H-Neurons detect in the base model, better than 95 % of random sets, and the paper's value is
    within reach; weaker if either fails."""
    if base.h_neurons is None:
        return "cannot say"
    if base.h_neurons.low <= 0.5:
        return "contradicts" if base.h_neurons.high < 0.5 else "absent"
    stands_out = (base.random >= base.h_neurons.value).mean() <= 0.05
    return "replicates" if stands_out and base.h_neurons.high >= PAPER_TRANSFER else "weaker"


def drift_verdict(drift: Drift) -> str:
    """Replicates if they moved less than random sets matched in layer and length, and than what the same probe picks on
    shuffled labels; weaker if only than any neurons."""
    if drift.p["none"] > 0.05:
        return "absent"
    if drift.mean_rank < 0.5:
        return "contradicts"
    return "replicates" if max(drift.p.values()) <= 0.05 else "weaker"


def gain(collected: Collected, found: Found, part: str) -> Estimate | None:
    """Balanced accuracy of the H-Neurons minus the mean of as many random neurons, in points, paired over questions."""
    rows = collected.test_rows(part)
    labels = collected.labels[rows]
    if len(set(labels)) < 2:
        return None
    X = collected.contributions[rows].at(found.probe.region)

    def points(y: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> Any:
        return 100 * accuracy(y, scores, weights)

    own, random = found.refitted.score(X), scores_of(found.random["none"], X)
    return beyond_random(points, own, random, collected.entities[rows], labels)


def findings(
    study: Study,
    collected: Collected,
    found: Found,
    day: Everyday | None,
    intervened: Intervened,
    origins: Origins,
) -> list[Finding]:
    """A finding for every cell of Table 1 and Figures 3 and 4 that the study can speak to, and on everyday answers."""
    card, size = found.card, found.card.n_layers * found.card.d_mlp
    few = "cannot say" if size < ENOUGH_NEURONS else "replicates" if card.per_mille < 1 else "absent"
    made = [
        Finding(
            "Fewer than one neuron in a thousand suffice",
            "0.01 to 0.35 per mille",
            f"{len(card.rows)} of {size:,}, {card.per_mille:.2f} per mille",
            few,
        )
    ]
    for part, title in question_module(study).PARTS.items():
        estimate = gain(collected, found, part)
        if estimate is not None:
            low, high = PAPER_GAINS.get(part, PAPER_GAINS["nq_open"])
            measured = "" if part in PAPER_GAINS else "not measured; on another question set "
            made.append(
                Finding(
                    f"They detect made-up answers: {title}",
                    f"{measured}{low:+.1f} to {high:+.1f} points of accuracy over random neurons",
                    f"{estimate} points of balanced accuracy over random neurons of any layer (n = {estimate.n})",
                    gain_verdict(estimate, max(low, 0)),
                )
            )
    if day is not None:
        made.append(everyday_finding(day, found))
    for behaviour, curve in intervened.behaviours.items():
        beyond = curve.slope_beyond_random()
        ours = f"{beyond} points per alpha beyond random neurons (p = {curve.rank_p():.2f}, n = {len(curve.items)})"
        title = f"Turned up, they make it give in: {BEHAVIOURS[behaviour].title.lower()}"
        made.append(Finding(title, PAPER_SLOPES, ours, slope_verdict(curve)))
    base, drift = origins.base, origins.drift
    random = f"; random neurons {base.random.mean():.2f}" if len(base.random) else ""
    p = f"p = {drift.p['none']:.4f}; same layers {drift.p['layer']:.4f}; and lengths {drift.p['magnitude']:.4f}"
    if len(drift.shuffled):
        p += f"; what the probe picks on shuffled labels {drift.shuffled.mean():.2f}, p = {drift.p['shuffled']:.2f}"
    return [
        *made,
        Finding(
            "The probe works in the base model",
            "AUROC over 0.86 for the Mistral bases on TriviaQA",
            f"AUROC {base.h_neurons or 'too few answers'}{random}",
            transfer_verdict(base),
        ),
        Finding(
            "Tuning moved them less than other neurons",
            "mean rank 0.48 to 0.97; not significant for one of six",
            f"mean rank {drift.mean_rank:.2f} ({p})",
            drift_verdict(drift),
        ),
    ]


def everyday_finding(day: Everyday, found: Found) -> Finding:
    """Unfiltered answers, held to what the paper measures on filtered ones."""
    over, least = gain(day.answers, found, "standard"), PAPER_GAINS["standard"][0]
    assert over is not None  # everyday answers without right and wrong ones are None themselves
    own, sure = (row_of(day.table, start).auroc for start in ("H-Neurons", "plain confidence"))
    equal = (
        f"right in {day.added.matched} of {day.added.n_pairs} pairs of equal confidence" if day.added.matched else ""
    )
    ours = f"{over} points (n = {over.n}); AUROC {own}, plain confidence {sure.value:.2f}" + f"; {equal}" * bool(equal)
    return Finding(
        "They detect made-up answers: everyday answers, unfiltered",
        "not measured; on filtered ones 14.0 to 19.9 points",
        ours,
        gain_verdict(over, least),
    )


def page(study: Study, made: list[Finding]) -> str:
    """The findings as a page of Markdown."""
    counts = {v: sum(f.verdict == v for f in made) for v in VERDICTS}
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    lines = [
        f"# What holds on {study.name}",
        "",
        f"{len(made)} findings: {told}. Intervals are 95 %, over entities; every number stands beside "
        "its control, which the paper mostly does not give. A gain counts as weaker if it is there but smaller than "
        "for any of the paper's six models.",
        "",
        "| the paper says | it measured | here | verdict |",
        "|---|---|---|---|",
        *(f"| {f.claim} | {f.paper} | {f.ours} | **{f.verdict}** |" for f in made),
    ]
    return "\n".join(lines) + "\n"


def summary(found: Found, compared: Compared, day: Everyday | None, intervened: Intervened, origins: Origins) -> dict:
    """The study in numbers, each with its control, ready for JSON."""
    return {
        "h_neurons": len(found.card.rows),
        "per_mille": found.card.per_mille,
        "beyond": {k: asdict(v) for k, v in found.beyond.items()},
        "detection": [
            {"test_set": d.test_set, "detector": d.name, "neurons": d.n_neurons, "auroc": asdict(d.auroc)}
            for d in [*compared.table, *(day.table if day else [])]
        ],
        "added_to_confidence": asdict(compared.added),
        "slopes": {
            b: {
                "h_neurons": asdict(c.slope()),
                "random": c.control_slopes().tolist(),
                "beyond_random": asdict(c.slope_beyond_random()),
                "p": c.rank_p(),
                "verdict": c.verdict(),
            }
            for b, c in {**intervened.behaviours, **intervened.capability}.items()
        },
        "transfer": [
            {
                "model": t.model,
                "right": t.n_right,
                "wrong": t.n_wrong,
                "probe": t.probe and asdict(t.probe),
                "h_neurons": t.h_neurons and asdict(t.h_neurons),
                "random": t.random.tolist(),
                "confidence": t.confidence and asdict(t.confidence),
            }
            for t in origins.timeline
        ],
        "drift": {k: getattr(origins.drift, k) for k in ("mean_rank", "mean_rank_within", "p")},
    }
