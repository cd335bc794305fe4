"""The exercises by name: `check` tries an answer on small cases, `yours` carries it into the notebook's real data.
`debrief` sets a prediction beside what came out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hn_utils.course.checks import collect, confounds, intervene, origins, permission, probe, texts
from hn_utils.course.checks.confounds import stratified
from hn_utils.course.mistakes import YOUR_TURN, Mistake, returning
from hn_utils.storage.progress import tell

__all__ = ["CHECKS", "PACKAGE", "YOUR_TURN", "Mistake", "check", "debrief", "stratified", "yours"]
CHECKS: dict[str, Callable[[Any], None]] = {
    "CETT": collect.check_cett,
    "pooling over the answer": collect.check_pooling,
    "the consistency filter": collect.check_consistent,
    "3-vs-1 rows": probe.check_three_vs_one,
    "an L1 fit": probe.check_l1_fit,
    "reading the path": probe.check_choice,
    "find the planted neurons": probe.check_hunt,
    "scaling and undoing it": intervene.check_scaling,
    "a fair random baseline": intervene.check_random_set,
    "compliance rate with interval": intervene.check_rate,
    "base transfer": origins.check_transfer,
    "a permutation p": origins.check_permutation,
    "one sentence": origins.check_sentence,
    "spot the confound": confounds.check_confound,
    "two effects and their interaction": permission.check_effects,
    "a twin that must not work": texts.check_twin,
}
PACKAGE: dict[str, Callable[..., Any]] = {  # what stands in where one's own is not right yet
    "CETT": collect.package_cett,
    "pooling over the answer": collect.package_pooled,
    "the consistency filter": collect.package_consistent,
    "3-vs-1 rows": probe.package_rows,
    "an L1 fit": probe.package_l1_fit,
    "reading the path": probe.package_choose,
    "find the planted neurons": probe.package_hunt,
    "a fair random baseline": intervene.package_random_set,
    "compliance rate with interval": intervene.package_rate,
    "base transfer": origins.package_carried_over,
    "a permutation p": origins.two_sided,
    "two effects and their interaction": permission.package_effects,
    "a twin that must not work": texts.package_twin,
}


def check(name: str, answer: Any) -> str:
    """Try an answer to the exercise called `name`. Returns praise; raises Mistake with a diagnosis, ValueError if there
    is no such exercise."""
    if name not in CHECKS:
        raise ValueError(f"no exercise is called {name!r}: choose one of {', '.join(CHECKS)}")
    if answer is ...:
        raise Mistake(YOUR_TURN)
    try:
        CHECKS[name](tuple(map(returning, answer)) if isinstance(answer, tuple) else returning(answer))
    except NotImplementedError:
        raise Mistake(YOUR_TURN) from None
    return f"Right: {name}."


def yours(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
    """Your own function for the cells that follow, if it passes its check. If not, the package's, so that you can read
    on, and a line that says so."""
    try:
        check(name, answer)
    except Exception as error:  # whatever goes wrong in what a student wrote
        tell(f"{name}: the package's function is used here. Yours: {error}")
        return PACKAGE[name]
    return answer


def debrief(prediction: str, came_out: object) -> str:
    """A prediction beside the sentence that was computed from the result."""
    return f"Predicted: {prediction or '(nothing written)'}\nWhat came out: {came_out}"
