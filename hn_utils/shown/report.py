"""Which sentences of the paper hold on this model? Each beside what the paper gives, what was measured, its control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hn_utils import analyses
from hn_utils.analyses import Compared, Everyday, Recovery
from hn_utils.collecting import Collected
from hn_utils.controls import Estimate, accuracy, beyond_random
from hn_utils.curves import DoseResponse
from hn_utils.finding import Found, scores_of
from hn_utils.intervening import Intervened
from hn_utils.items import behaviour_called
from hn_utils.looking_back import Origins
from hn_utils.origins import TOO_FEW, Drift, Transfer
from hn_utils.probe import row_of
from hn_utils.study import Study
from hn_utils.verdicts import Verdict, outermost, verdicts

VERDICTS = {
    "replicates": "there, beyond its control; a gain is no smaller than the paper's smallest",
    "weaker": "there beyond its control, but smaller; or not beyond the hardest control",
    "absent": "not there; the interval of a gain or slope leaves no room for the paper's smallest",
    "contradicts": "there, the other way round",
    "cannot say": "the interval leaves room for both, or there is too little to measure",
}
# Table 1: gain in accuracy over random neurons, points, of the six models in its order. A part that the paper does not
# have is set beside NQ-Open, its nearest other question set.
PAPER_GAINS = {
    "standard": (16.7, 19.9, 14.9, 18.4, 14.0, 14.3),
    "nq_open": (15.4, 14.5, 11.0, 10.1, 10.3, 8.3),
    "bioasq": (16.1, 16.7, 15.0, 10.2, 13.1, 7.4),
    "nonexist": (10.2, 29.2, 15.0, 37.7, -7.5, 27.1),
}
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


def paper_gains(part: str) -> tuple[float, ...]:
    return PAPER_GAINS.get(part, PAPER_GAINS["nq_open"])


def least_gain(part: str) -> float:
    """The paper's smallest gain on a part. The one model that lost to random neurons gained nothing, and is no bar."""
    return min(gain for gain in paper_gains(part) if gain > 0)


def gain_verdict(gain: Estimate, least: float) -> str:
    """Of a gain over random neurons in points: weaker if it is there but below the paper's smallest; absent only if its
    interval leaves no room for that smallest either."""
    if np.isnan(gain.value):
        return "cannot say"
    if gain.low > 0:
        return "replicates" if gain.value >= least else "weaker"
    if gain.high < 0:
        return "contradicts"
    return "cannot say" if gain.high >= least else "absent"


def slope_verdict(curve: DoseResponse, verdict: Verdict) -> str:
    """Absent only if the interval leaves no room for the paper's smaller mean slope."""
    if verdict.word == "not told apart from random neurons":
        return "absent" if curve.slope_beyond_random().high < PAPER_SLOPE else "cannot say"
    return {"rises": "replicates", "falls": "contradicts"}.get(verdict.word, "cannot say")


def transfer_verdict(base: Transfer) -> str:
    """Of the level alone, as the paper gives it: replicates if the H-Neurons detect in the base model, better than 95 %
    of random sets, and the paper's value is within reach; weaker if either fails. A probe that detects little at home
    cannot reach it: whether what it detects carries over is for `carried_verdict` to say."""
    if base.h_neurons is None:
        return "cannot say"
    if base.h_neurons.low <= 0.5:
        return "contradicts" if base.h_neurons.high < 0.5 else "absent"
    stands_out = (base.random >= base.h_neurons.value).mean() <= 0.05
    return "replicates" if stands_out and base.h_neurons.high >= PAPER_TRANSFER else "weaker"


def carried_verdict(there: Estimate | None, home: Estimate) -> str:
    """Of what they detect beyond random neurons in the base model, beside the same at home: weaker only if the interval
    there leaves no room for the value at home. Where nothing is detected at home, nothing can carry over."""
    if there is None or home.low <= 0:
        return "cannot say"
    room = there.high >= home.value
    if there.low > 0:
        return "replicates" if room else "weaker"
    if there.high < 0:
        return "contradicts"
    return "cannot say" if room else "absent"


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
    X, labels, groups = collected.labelled(collected.test_rows(part), found.probe.region)
    if len(set(labels)) < 2:
        return None

    def points(y: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> Any:
        return 100 * accuracy(y, scores, weights)

    own, random = found.refitted.score(X), scores_of(found.random["none"], X)
    return beyond_random(points, own, random, groups, labels)


def findings(found: Found, day: Everyday | None, intervened: Intervened, origins: Origins | None) -> list[Finding]:
    """A finding for every cell of Table 1 and Figures 3 and 4 that the study can speak to, and on everyday answers."""
    return [
        how_many(found),
        *detection_findings(found),
        *([] if day is None else [everyday_finding(day, found)]),
        *compliance_findings(intervened),
        *([] if origins is None else origin_findings(found, origins)),
    ]


def how_many(found: Found) -> Finding:
    card, size = found.card, found.card.n_layers * found.card.d_mlp
    return Finding(
        "Fewer than one neuron in a thousand suffice",
        "0.01 to 0.35 per mille",
        f"{len(card.rows)} of {size:,}, {card.per_mille:.2f} per mille",
        "cannot say" if size < ENOUGH_NEURONS else "replicates" if card.per_mille < 1 else "absent",
    )


def detection_findings(found: Found) -> list[Finding]:
    """One for each test set that has right and wrong answers."""
    made = []
    for part, title in found.collected.parts.items():
        estimate = gain(found.collected, found, part)
        if estimate is None:
            continue
        gains = paper_gains(part)
        measured = "" if part in PAPER_GAINS else "not measured; on another question set "
        made.append(
            Finding(
                f"They detect made-up answers: {title}",
                f"{measured}{min(gains):+.1f} to {max(gains):+.1f} points of accuracy over random neurons",
                f"{estimate} points of balanced accuracy over random neurons of any layer (n = {estimate.n})",
                gain_verdict(estimate, least_gain(part)),
            )
        )
    return made


def compliance_findings(intervened: Intervened) -> list[Finding]:
    """One for each behaviour."""
    made = []
    for behaviour, verdict in verdicts(intervened.behaviours).items():
        curve = intervened.behaviours[behaviour]
        notes = [f"n = {len(curve.items)}"]
        if verdict.p is not None:
            notes.append(f"p = {verdict.p:.2f}, corrected for {len(intervened.behaviours)} behaviours")
        if (place := outermost(curve)) is not None:
            notes.append(f"slope {place} sets")
        ours = f"{curve.slope_beyond_random()} points per alpha beyond random neurons ({'; '.join(notes)})"
        title = f"Turned up, they make it give in: {behaviour_called(behaviour).title.lower()}"
        made.append(Finding(title, PAPER_SLOPES, ours, slope_verdict(curve, verdict)))
    return made


def origin_findings(found: Found, origins: Origins) -> list[Finding]:
    """On transfer, by its level and by what carries over, and on drift."""
    base, drift = origins.base, origins.drift
    there = carried = f"{TOO_FEW}: {base.n_right} right, {base.n_wrong} wrong"
    if base.h_neurons is not None:
        random = base.random.mean()
        there = f"AUROC of the H-Neurons {base.h_neurons}, of the whole probe {base.probe}; random neurons {random:.2f}"
        carried = f"AUROC {origins.beyond} beyond random neurons, at home {found.beyond['random']}"
    p = f"p = {drift.p['none']:.4f}; same layers {drift.p['layer']:.4f}; and lengths {drift.p['magnitude']:.4f}"
    if len(drift.shuffled):
        p += f"; what the probe picks on shuffled labels {drift.shuffled.mean():.2f}, p = {drift.p['shuffled']:.2f}"
    return [
        Finding(
            "The probe works in the base model",
            "AUROC over 0.86 for the Mistral bases on TriviaQA",
            there,
            transfer_verdict(base),
        ),
        Finding(
            "What they detect carries over to it",
            "not measured: no random neurons there, no AUROC at home",
            carried,
            carried_verdict(origins.beyond, found.beyond["random"]),
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
    over, gains = gain(day.answers, found, "standard"), paper_gains("standard")
    assert over is not None  # everyday answers without right and wrong ones are None themselves
    own, sure = (row_of(day.detections, start).auroc for start in ("H-Neurons", "plain confidence"))
    equal = (
        f"right in {day.added.matched} of {day.added.n_pairs} pairs of equal confidence" if day.added.matched else ""
    )
    ours = f"{over} points (n = {over.n}); AUROC {own}, plain confidence {sure.value:.2f}" + f"; {equal}" * bool(equal)
    return Finding(
        "They detect made-up answers: everyday answers, unfiltered",
        f"not measured; on filtered ones {min(gains):+.1f} to {max(gains):+.1f} points",
        ours,
        gain_verdict(over, least_gain("standard")),
    )


def page(study: Study, made: list[Finding]) -> str:
    """The findings as a page of Markdown."""
    counts = {v: sum(f.verdict == v for f in made) for v in VERDICTS}
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    lines = [
        f"# What holds on {study.name}",
        "",
        f"{len(made)} findings: {told}. The model ran in {study.precision}; in another precision other neurons may be "
        "found. Intervals are 95 %, over entities; every number stands beside its control, which the paper mostly does "
        "not give. A gain counts as weaker if it is there but below the smallest gain of the paper's six models on "
        "that part (one of them lost: no gain, and no bar).",
        "",
        "| the paper says | it measured | here | verdict |",
        "|---|---|---|---|",
        *(f"| {f.claim} | {f.paper} | {f.ours} | **{f.verdict}** |" for f in made),
        "",
        *(f"* *{verdict}*: {meaning}." for verdict, meaning in VERDICTS.items()),
    ]
    return "\n".join(lines) + "\n"


def slopes_told(curves: Mapping[str, DoseResponse]) -> dict[str, dict]:
    """Slopes of one family of curves, each beside its random sets and with its verdict."""
    return {
        behaviour: {
            "h_neurons": asdict(curves[behaviour].slope()),
            "random": curves[behaviour].control_slopes().tolist(),
            "beyond_random": asdict(curves[behaviour].slope_beyond_random()),
            "rank_p": curves[behaviour].rank_p(),
            "p": verdict.p,
            "verdict": verdict.word,
        }
        for behaviour, verdict in verdicts(curves).items()
    }


def recovery_told(recovered: Recovery, found: Found, intervened: Intervened) -> dict:
    """Where neurons are planted: which of them were found, and how much of what they do the found ones do."""
    carried = analyses.carried(found, intervened)
    return {
        "planted": len(recovered.planted),
        "found": len(recovered.found),
        "both": len(recovered.both),
        "by_chance": recovered.by_chance,
        "auroc": asdict(recovered.auroc),
        "slopes": slopes_told(carried.curves),
        "share": {behaviour: asdict(share) for behaviour, share in carried.share.items()},
    }


def summary(
    found: Found,
    compared: Compared,
    day: Everyday | None,
    intervened: Intervened,
    origins: Origins | None,
    recovered: Recovery | None,
) -> dict:
    """The study in numbers, each with its control, ready for JSON; `recovered` where neurons are planted, `origins`
    where there is a base model."""
    return {
        "recovery": recovered and recovery_told(recovered, found, intervened),
        "h_neurons": len(found.card.rows),
        "per_mille": found.card.per_mille,
        "beyond": {k: asdict(v) for k, v in found.beyond.items()},
        "detection": [
            {"test_set": d.test_set, "detector": d.name, "neurons": d.n_neurons, "auroc": asdict(d.auroc)}
            for d in [*compared.detections, *(day.detections if day else [])]
        ],
        "added_to_confidence": asdict(compared.added),
        "slopes": slopes_told(intervened.behaviours) | slopes_told(intervened.capability),
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
            for t in (origins.timeline if origins else ())
        ],
        "transfer_beyond_random": asdict(origins.beyond) if origins and origins.beyond else None,
        "drift": origins and {k: getattr(origins.drift, k) for k in ("mean_rank", "mean_rank_within", "p")},
    }
