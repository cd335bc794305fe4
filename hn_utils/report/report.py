"""Which sentences of the paper hold on this model? Each beside what the paper gives, what was measured, its control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hn_utils.origins.transfer import DID_NOT_MOVE, TOO_FEW, Drift, Transfer
from hn_utils.probing.against_random import AgainstRandom
from hn_utils.probing.find import Found, beyond_controls
from hn_utils.probing.probe import Detector
from hn_utils.questions.items import BEHAVIOURS, behaviour_called
from hn_utils.stats.metrics import accuracy, auroc
from hn_utils.stats.rank_test import LEVEL, holm, two_sided_rank_p
from hn_utils.steering.verdicts import Verdict, detectable, verdicts

if TYPE_CHECKING:
    from hn_utils.analyses import Carried, Compared, Everyday, Recovery
    from hn_utils.contributions.collected import Collected
    from hn_utils.origins.look_back import Origins
    from hn_utils.probing.l1_path import Fit
    from hn_utils.stats.bootstrap import Estimate
    from hn_utils.steering.curves import DoseResponse, GradedResponse
    from hn_utils.steering.dose_response import Intervened
    from hn_utils.study import Study

VERDICTS = {
    "replicates": "the paper measured it, and here it is beyond its hardest control; a slope is as large, too",
    "there": "beyond its hardest control; the paper did not measure it",
    "weaker": "beyond one of two controls alone; or a slope or a transfer is smaller than the paper's",
    "contradicts": "there, the other way round",
    "not told apart": "beyond neither control (it may lie below one: read the numbers); of a slope: where one as large "
    "as the paper's would have been seen",
    "cannot say": "there is too little to measure, or one as large as the paper's would not have been seen",
}
# Table 1: gain in accuracy over random neurons, points, of the six models in its order. A part that the paper does not
# have is set beside NQ-Open, its nearest other question set.
_PAPER_GAINS = {
    "standard": (16.7, 19.9, 14.9, 18.4, 14.0, 14.3),
    "nq_open": (15.4, 14.5, 11.0, 10.1, 10.3, 8.3),
    "bioasq": (16.1, 16.7, 15.0, 10.2, 13.1, 7.4),
    "nonexist": (10.2, 29.2, 15.0, 37.7, -7.5, 27.1),
}
_PAPER_TRANSFER = 0.86  # the Mistral bases on TriviaQA
_PAPER_SLOPE = 2.4  # mean of the large models, points per alpha
_PAPER_SLOPES = "rises, on average 2.4 (large models) to 3.0 (small) points per alpha; no control"
_ENOUGH_NEURONS = 100_000  # in a smaller model a handful is more than one in a thousand


@dataclass(frozen=True)
class Finding:
    """One sentence of the paper and what became of it."""

    claim: str
    paper: str
    ours: str
    verdict: str


def paper_gains(part: str) -> tuple[float, ...]:
    return _PAPER_GAINS.get(part, _PAPER_GAINS["nq_open"])


def detection_verdict(beyond: Mapping[str, Estimate], p: float, measured: bool) -> str:
    """Of AUROC, which hangs on no threshold, beside both controls: what the same procedure picks on shuffled labels,
    with the corrected `p` of the rank among these, and random neurons as loud. Weaker if only one of them is beaten."""
    hardest, loud = beyond["any"], beyond["loud"]
    if np.isnan(hardest.value):
        return "cannot say"
    against_hardest = hardest.direction() if p <= LEVEL else 0
    against_loud = loud.direction()
    if against_hardest > 0 and against_loud > 0:
        return "replicates" if measured else "there"
    if against_hardest < 0 and against_loud < 0:
        return "contradicts"
    return "weaker" if max(against_hardest, against_loud) > 0 else "not told apart"


def slope_verdict(curve: DoseResponse, verdict: Verdict, n_curves: int) -> str:
    """Of a slope beyond its controls, in points per alpha."""
    if verdict.word == "rises":
        measured = "replicates" if curve.behaviour in BEHAVIOURS else "there"
        return measured if curve.slope_beyond_control().value >= _PAPER_SLOPE else "weaker"
    if verdict.word == "falls":
        return "contradicts"
    if verdict.word != "not told apart":
        return "cannot say"
    return "not told apart" if detectable(curve, n_curves) <= _PAPER_SLOPE else "cannot say"


def transfer_verdict(base: Transfer) -> str:
    """Of the level alone, as the paper gives it: replicates if the H-Neurons detect in the base model, better than 95 %
    of what shuffled labels pick, and the paper's value is within reach; weaker if either fails. A probe that
    detects little at home cannot reach it: whether what it detects carries over is for `carried_verdict` to say."""
    if base.h_neurons is None:
        return "cannot say"
    direction = base.h_neurons.direction(null=0.5)
    if direction <= 0:
        return "contradicts" if direction < 0 else "not told apart"
    stands_out = two_sided_rank_p(base.h_neurons.value, base.random) <= LEVEL
    return "replicates" if stands_out and base.h_neurons.high >= _PAPER_TRANSFER else "weaker"


def carried_verdict(there: Estimate | None, home: Estimate) -> str:
    """Of what they detect in the base model beyond picks on shuffled labels, beside the same at home: weaker only if
    the interval there leaves no room for the value at home. Where nothing is detected at home, nothing can carry over.
    The paper does not measure it."""
    if there is None or home.direction() <= 0:
        return "cannot say"
    room = there.high >= home.value
    if there.direction() > 0:
        return "there" if room else "weaker"
    if there.direction() < 0:
        return "contradicts"
    return "cannot say" if room else "not told apart"


def drift_verdict(drift: Drift) -> str:
    """Replicates if they moved less than random sets matched in layer and length, and than what the same probe picks on
    shuffled labels; weaker if only than any neurons. Cannot say where tuning moved none."""
    if np.isnan(drift.mean_rank):
        return "cannot say"
    if drift.p["none"] > 0.05:
        return "not told apart"
    if drift.mean_rank < 0.5:
        return "contradicts"
    return "replicates" if max(drift.p.values()) <= 0.05 else "weaker"


def gain(found: Found, collected: Collected, rows: np.ndarray) -> Estimate:
    """Balanced accuracy of the H-Neurons minus the mean of as many random neurons, in points, paired over questions:
    the paper's measure, which hangs on where the probe puts its threshold."""

    def points(y: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> Any:
        return 100 * accuracy(y, scores, weights)

    return found.against("none").on(collected.labelled(rows, found.probe.region), points).beyond


def findings(found: Found, day: Everyday | None, intervened: Intervened, origins: Origins | None) -> list[Finding]:
    """A finding for every cell of Table 1 and Figures 3 and 4 that the study can speak to, and on everyday answers."""
    return [
        how_many(found),
        *detection_findings(found, day),
        *compliance_findings(intervened),
        *([] if origins is None else origin_findings(found, origins)),
    ]


def how_many(found: Found) -> Finding:
    card, size = found.card, found.card.n_layers * found.card.d_mlp
    small = "; in so small a model a handful is more than one in a thousand" * (size < _ENOUGH_NEURONS)
    return Finding(
        "Fewer than one neuron in a thousand suffice",
        "0.01 to 0.35 per mille",
        f"{len(card.rows)} of {size:,}, {card.per_mille:.2f} per mille" + small,
        "cannot say" if size < _ENOUGH_NEURONS else "replicates" if card.per_mille < 1 else "contradicts",
    )


def detection_findings(found: Found, day: Everyday | None) -> list[Finding]:
    """One for each test set that has right and wrong answers, and one for everyday answers.

    They are one family: the p of their ranks are corrected by Holm, and stand on as many shuffles as that needs.
    """
    titles = {title: part for part, title in found.collected.parts.items()}
    n_tests = len(found.test_sets) + (day is not None)
    control = found.control_for(n_tests)
    ranks = [_rank_p(found, control, found.collected, rows) for rows in found.test_sets.values()]
    if day is not None:
        ranks.append(_rank_p(found, control, day.answers, day.answers.test_rows("standard")))
    corrected = holm(np.array(ranks)).tolist()
    made = []
    for (title, rows), p in zip(found.test_sets.items(), corrected, strict=False):
        part = titles.get(title, "")
        gains = paper_gains(part)
        measured = "" if part in _PAPER_GAINS else "not measured; elsewhere "
        beyond = beyond_controls(found.collected, found, rows)
        made.append(
            Finding(
                f"They detect made-up answers: {title}",
                f"{measured}{min(gains):+.1f} to {max(gains):+.1f} points of accuracy over random neurons of any layer",
                _detected_told(found, found.collected, rows, beyond, p),
                detection_verdict(beyond, p, part in _PAPER_GAINS),
            )
        )
    return made if day is None else [*made, _everyday_finding(day, found, corrected[-1])]


def _rank_p(found: Found, control: Sequence[Fit], collected: Collected, rows: np.ndarray) -> float:
    """Two-sided p of the H-Neurons' AUROC on some answers by its rank among that of control sets."""
    read = collected.labelled(rows, found.probe.region)
    return AgainstRandom(found.refitted, control).on(read).rank_p


def _detected_told(
    found: Found, collected: Collected, rows: np.ndarray, beyond: Mapping[str, Estimate], p: float
) -> str:
    """What the H-Neurons detect on some answers, beside their controls from the hardest to the easiest."""
    read, easy = collected.labelled(rows, found.probe.region), gain(found, collected, rows)
    level = auroc(read.labels, found.refitted.score(read.X))
    return (
        f"AUROC {level:.2f}: {beyond['any']} above what shuffled labels pick (rank p = {p:.3f}, corrected), "
        f"{beyond['others']} if the H-Neurons are left out there, {beyond['loud']} above random neurons as loud; "
        f"{easy} points of balanced accuracy over random neurons of any layer (n = {beyond['any'].n})"
    )


def compliance_findings(intervened: Intervened) -> list[Finding]:
    """One for each behaviour."""
    made = []
    n_curves, told = len(intervened.behaviours), verdicts(intervened.graded)
    for behaviour, verdict in verdicts(intervened.behaviours).items():
        curve = intervened.behaviours[behaviour]
        notes = [f"n = {len(curve.items)}", f"{len(curve.controls)} sets"]
        if curve.loud is not None:
            notes.append(f"beyond random neurons as loud {curve.loud.slope_beyond_control()}")
        if verdict.p is not None:
            notes.append(f"p = {verdict.p:.2f}, corrected for {n_curves} behaviours")
        if verdict.word == "not told apart":
            notes.append(f"a rise of {detectable(curve, n_curves):.1f} would have been seen")
        if (graded := intervened.graded.get(behaviour)) is not None:
            word = told[behaviour].word
            notes.append(f"log-odds of the claim {graded.slope_beyond_control()} nats per alpha, {word}")
        others = curve.control_broken[:, -1].mean()
        notes.append(f"replies broken at alpha 3 {curve.broken(3.0):.2f}, with the shuffled picks {others:.2f}")
        notes.append(
            f"the shuffled picks are {curve.loudness:.2f} times as loud, and turned so that they disturb as much"
        )
        beyond = f"{curve.slope_beyond_control()} beyond what shuffled labels pick instead"
        ours = f"{curve.slope()} points per alpha, {beyond} ({'; '.join(notes)})"
        title = f"Turned up, they make it give in: {behaviour_called(behaviour).title.lower()}"
        made.append(Finding(title, _PAPER_SLOPES, ours, slope_verdict(curve, verdict, n_curves)))
    return made


def origin_findings(found: Found, origins: Origins) -> list[Finding]:
    """On transfer, by its level and by what carries over, and on drift."""
    base, drift = origins.base, origins.drift
    there = carried = f"{TOO_FEW}: {base.n_right} right, {base.n_wrong} wrong"
    if base.h_neurons is not None:
        random = base.random.mean()
        there = f"AUROC of the H-Neurons {base.h_neurons}, of the whole probe {base.probe}; picks on shuffled labels "
        there += f"{random:.2f}"
        carried = f"AUROC {origins.beyond} beyond picks on shuffled labels, at home {found.beyond['any']}"
    return [
        Finding(
            "The probe works in the base model",
            "AUROC over 0.86 for the Mistral bases on TriviaQA",
            there,
            transfer_verdict(base),
        ),
        Finding(
            "What they detect carries over to it",
            "not measured: no control there, no AUROC at home",
            carried,
            carried_verdict(origins.beyond, found.beyond["any"]),
        ),
        Finding(
            "Tuning moved them less than other neurons",
            "mean rank 0.48 to 0.97; not significant for one of six",
            _mean_rank_told(drift),
            drift_verdict(drift),
        ),
    ]


def ranks_of(drift: Drift) -> dict[str, Any]:
    """What a summary keeps of drift; no ranks where tuning moved none."""
    if not drift.anything_moved:
        return {"mean_rank": None, "mean_rank_within": None, "p": {}}
    return {k: getattr(drift, k) for k in ("mean_rank", "mean_rank_within", "p")}


def _mean_rank_told(drift: Drift) -> str:
    if np.isnan(drift.mean_rank):
        return DID_NOT_MOVE
    p = f"p = {drift.p['none']:.4f}; same layers {drift.p['layer']:.4f}; and lengths {drift.p['magnitude']:.4f}"
    if len(drift.shuffled):
        p += f"; what the probe picks on shuffled labels {drift.shuffled.mean():.2f}, p = {drift.p['shuffled']:.2f}"
    return f"mean rank {drift.mean_rank:.2f} ({p})"


def _everyday_finding(day: Everyday, found: Found, p: float) -> Finding:
    """Unfiltered answers, held to what the paper measures on filtered ones."""
    gains, rows = paper_gains("standard"), day.answers.test_rows("standard")
    own, confidence = (day.detection(detector) for detector in (Detector.H_NEURONS, Detector.CONFIDENCE))
    told = _detected_told(found, day.answers, rows, day.beyond, p)
    ours = f"{told}; AUROC {own.auroc}, plain confidence {confidence.auroc.value:.2f}"
    if day.added.matched is not None:
        ours += f"; right in {day.added.matched} of {day.added.n_pairs} pairs of equal confidence"
    return Finding(
        "They detect made-up answers: everyday answers, unfiltered",
        f"not measured; on filtered ones {min(gains):+.1f} to {max(gains):+.1f} points",
        ours,
        detection_verdict(day.beyond, p, measured=False),
    )


def page(study: Study, made: list[Finding]) -> str:
    """The findings as a page of Markdown."""
    counts = {v: sum(f.verdict == v for f in made) for v in VERDICTS}
    told = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    lines = [
        f"# What holds on {study.name}",
        "",
        f"{len(made)} findings: {told}. The model ran in {study.precision}; in another precision other neurons may "
        "be found. Intervals are 95 %, over entities; each finding on neurons stands beside controls that the paper "
        "does not give: what the same procedure picks when right and wrong are shuffled among the answers, and random "
        "neurons that are as loud together. Detection is decided by AUROC, and corrected for all test sets.",
        "",
        "| the paper says | it measured | here | verdict |",
        "|---|---|---|---|",
        *(f"| {f.claim} | {f.paper} | {f.ours} | **{f.verdict}** |" for f in made),
        "",
        *(f"* *{verdict}*: {meaning}." for verdict, meaning in VERDICTS.items()),
    ]
    return "\n".join(lines) + "\n"


def _slopes_told(curves: Mapping[str, DoseResponse] | Mapping[str, GradedResponse]) -> dict[str, dict]:
    """Slopes of one family of curves, each beside its control sets and with its verdict."""
    return {
        behaviour: {
            "h_neurons": asdict(curves[behaviour].slope()),
            "control": curves[behaviour].control_slopes().tolist(),
            "beyond": asdict(curves[behaviour].slope_beyond_control()),
            "rank_p": curves[behaviour].p_of_rank(),
            "p": verdict.p,
            "verdict": verdict.word,
        }
        for behaviour, verdict in verdicts(curves).items()
    }


def _recovery_told(recovered: Recovery, carried: Carried) -> dict:
    """Where neurons are planted: which of them were found, and how much of what they do the found ones do."""
    return {
        "planted": len(recovered.planted),
        "found": len(recovered.found),
        "both": len(recovered.both),
        "by_chance": recovered.by_chance,
        "auroc": asdict(recovered.auroc),
        "slopes": _slopes_told(carried.curves),
        "share": {behaviour: asdict(share) for behaviour, share in carried.share.items()},
    }


def summary(
    found: Found,
    compared: Compared,
    day: Everyday | None,
    intervened: Intervened,
    origins: Origins | None,
    planted: tuple[Recovery, Carried] | None,
) -> dict:
    """The study in numbers, each with its control, ready for JSON; `planted`, what was recovered of the plant and
    what it carries, where neurons are planted; `origins` where there is a base model."""
    return {
        "recovery": planted and _recovery_told(*planted),
        "h_neurons": len(found.card.rows),
        "per_mille": found.card.per_mille,
        "beyond": {k: asdict(v) for k, v in found.beyond.items()},
        "detection": [
            {"test_set": d.test_set, "detector": d.name, "neurons": d.n_neurons, "auroc": asdict(d.auroc)}
            for d in [*compared.detections, *(day.detections if day else [])]
        ],
        "added_to_confidence": asdict(compared.added),
        "p": found.p,
        "slopes": _slopes_told(intervened.behaviours) | _slopes_told(intervened.capability),
        "graded_slopes": _slopes_told(intervened.graded),
        "transfer": [
            {
                "model": t.model,
                "right": t.n_right,
                "wrong": t.n_wrong,
                "probe": t.probe and asdict(t.probe),
                "h_neurons": t.h_neurons and asdict(t.h_neurons),
                "control": t.random.tolist(),
                "confidence": t.confidence and asdict(t.confidence),
            }
            for t in (origins.timeline if origins else ())
        ],
        "transfer_beyond": asdict(origins.beyond) if origins and origins.beyond else None,
        "drift": origins and ranks_of(origins.drift),
    }
