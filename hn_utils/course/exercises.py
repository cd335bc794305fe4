"""The exercises by name: `check` tries an answer on small cases, `yours` carries it into the notebook's real data.
`debrief` sets a prediction beside what came out. None of them stops a notebook."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hn_utils.course.checks import collect, confounds, intervene, origins, permission, probe, session, texts
from hn_utils.course.checks.confounds import stratified
from hn_utils.course.mistakes import YOUR_TURN, Mistake, raised_in, returning
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
    "reading a hook point": session.check_captured,
    "AUROC by hand": session.check_pairs,
    "a hook that scales": session.check_hook,
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
    "reading a hook point": session.package_captured,
    "AUROC by hand": session.package_pairs,
    "a hook that scales": session.package_scaling,
}


def check(name: str, answer: Any) -> str:
    """Try an answer to the exercise called `name`, and go on whatever comes.

    Args:
        name: the exercise, as its heading calls it.
        answer: what a student wrote: a function, a sentence, a name; `...` where there is nothing yet.

    Returns:
        `Right:` and the name; or `Not yet:` with what is wrong, where the mistake is a known one or the answer raised
        an error. A gap is no error, so that "Run all" goes through to the end.

    Raises:
        ValueError: there is no such exercise.
    """
    mistake = _mistake(name, answer)
    return f"Not yet: {mistake}" if mistake else f"Right: {name}."


def yours(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
    """Your own function for the cells that follow, if it passes its check. If not, the package's, so that you can read
    on, and a line that says so."""
    if mistake := _mistake(name, answer):
        tell(f"{name}: the package's function is used here. Yours: {mistake}")
        return PACKAGE[name]
    return answer


def _mistake(name: str, answer: Any) -> str:
    """What is wrong with an answer; nothing if it is right. Raises ValueError if there is no such exercise."""
    if name not in CHECKS:
        raise ValueError(f"no exercise is called {name!r}: choose one of {', '.join(CHECKS)}")
    if answer is ...:
        return YOUR_TURN
    try:
        CHECKS[name](tuple(map(returning, answer)) if isinstance(answer, tuple) else returning(answer))
    except NotImplementedError:
        return YOUR_TURN
    except Mistake as mistake:
        return str(mistake)
    except Exception as error:  # whatever goes wrong in what a student wrote
        return raised_in(error)
    return ""


def debrief(prediction: str, came_out: object) -> str:
    """A prediction beside the sentence that was computed from the result."""
    return f"Predicted: {prediction or '(nothing written)'}\nWhat came out: {came_out}"
