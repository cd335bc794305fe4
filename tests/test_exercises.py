"""Exercises: solutions pass, gaps say "your turn", and every usual mistake, written out, gets its own diagnosis."""

from __future__ import annotations

import contextlib
import re

import jupytext
import nbformat
import numpy as np
import pytest
import torch

from hn_utils.course.exercises import CHECKS, YOUR_TURN, Mistake, auroc_within, check, stratified
from hn_utils.course.worksheets import NOTEBOOKS, gaps, worksheet

SOURCES = sorted(NOTEBOOKS.glob("0*.py"))
TAGGED = [c for s in SOURCES for c in jupytext.read(s).cells if "exercise" in c.metadata.get("tags", ())]
NEEDED = """
import contextlib
import numpy as np
from hn_utils.controls import auroc
from hn_utils.course.exercises import check, stratified
"""


def named(cell) -> str:
    return re.search(r'check\("([^"]+)"', cell.source)[1]


@pytest.mark.parametrize("cell", TAGGED, ids=named)
def test_the_solution_passes_and_the_gap_says_your_turn(cell):
    exec(NEEDED + cell.source, {})
    with pytest.raises(Mistake, match=YOUR_TURN):
        exec(NEEDED + gaps(cell.source), {})


def test_every_check_has_its_exercise_and_every_exercise_its_minutes_difficulty_and_hint():
    assert sorted(map(named, TAGGED)) == sorted(CHECKS)
    prose = "\n".join(s.read_text() for s in SOURCES).replace("\n# ", " ")
    for name in CHECKS:
        asked = re.search(
            rf"\*\*Exercise: {re.escape(name)}\*\* \(\d+ minutes, difficulty [123] of 3\)(.*?)%% tags", prose, re.S
        )
        assert asked, name
        assert "<details><summary>Hint</summary>" in asked[1], name


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_the_copy_is_written_from_the_source(source):
    path = NOTEBOOKS / "exercises" / f"{source.stem}.ipynb"
    committed = nbformat.read(path, as_version=4)
    assert committed == worksheet(source), "run: python -m hn_utils.course.worksheets"
    nbformat.validate(committed)
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", "\n".join(c.source for c in committed.cells))
    assert all((path.parent / link).exists() for link in links), links
    here = re.findall(r"\]\((?!https?:)([^)#]+)\)", source.read_text())
    assert all((source.parent / link).exists() for link in here), here


def with_hook(turn, careful: bool = True):
    """A context manager as students write it."""

    @contextlib.contextmanager
    def turned(down, neurons, alpha):
        handle = down.register_forward_pre_hook(lambda _, inputs: turn(inputs[0], neurons, alpha))
        if careful:
            try:
                yield
            finally:
                handle.remove()
        else:
            yield
            handle.remove()

    return turned


def right_turn(z, neurons, alpha):
    z = z.clone()
    z[..., neurons] *= alpha
    return (z,)


def in_place(z, neurons, alpha):
    z[..., neurons] *= alpha


def first_token(z, neurons, alpha):
    z = z.clone()
    z[:, 0, neurons] *= alpha
    return (z,)


def added(z, neurons, alpha):
    z = z.clone()
    z[..., neurons] += alpha
    return (z,)


@contextlib.contextmanager
def left_hanging(down, neurons, alpha):
    down.register_forward_pre_hook(lambda _, inputs: right_turn(inputs[0], neurons, alpha))
    yield


@contextlib.contextmanager
def by_weights(down, neurons, alpha):
    with torch.no_grad():
        down.weight[:, neurons] *= alpha
    yield
    with torch.no_grad():
        down.weight[:, neurons] /= alpha


def of_same_layers(h_neurons, d_mlp, seed, apart=True, replace=False, also=0):
    rng, drawn = np.random.default_rng(seed), []
    for layer, k in zip(*np.unique(h_neurons // d_mlp, return_counts=True), strict=True):
        free = np.arange(layer * d_mlp, (layer + 1) * d_mlp)
        drawn.append(rng.choice(np.setdiff1d(free, h_neurons) if apart else free, k + also, replace=replace))
    return np.concatenate(drawn)


def over(outcomes, people, unit, scale=1.0, among=slice(None), ends=(2.5, 97.5), once=False, few=1):
    """Share and interval; `unit` is what is drawn again."""
    outcomes, people = outcomes[among], people[among]
    complied, rng = outcomes == "complied", np.random.default_rng(0)
    groups = people if unit == "people" else np.arange(len(people))
    each = [complied[groups == g] for g in np.unique(groups)]
    draws = [rng.integers(len(each), size=len(each) // few) for _ in range(2_000)]
    shares = [np.concatenate([each[i] for i in (np.unique(draw) if once else draw)]).mean() for draw in draws]
    return scale * complied.mean(), *(scale * np.percentile(shares, ends))


def above(aurocs, error):
    return [i for i, value in enumerate(aurocs) if value >= max(aurocs) - error]


def by_size(labels, score, stratum) -> float:
    values, sizes = np.unique(stratum, return_counts=True)
    return float(np.average([whole(labels[stratum == v], score[stratum == v]) for v in values], weights=sizes))


def whole_tokens(z, neurons, alpha):
    z = z.clone()
    z[:, neurons] *= alpha
    return (z,)


@contextlib.contextmanager
def swallowing(down, neurons, alpha):
    handle = down.register_forward_pre_hook(lambda _, inputs: right_turn(inputs[0], neurons, alpha))
    with contextlib.suppress(ZeroDivisionError):
        yield
    handle.remove()


def rest(values, answer):
    return [i for i in range(len(values)) if i not in answer]


def whole(labels, score) -> float:
    """AUROC as the chance that a made-up answer scores higher, pair by pair."""
    made_up, true = score[labels == 1][:, None], score[labels == 0][None]
    return float((made_up > true).mean() + (made_up == true).mean() / 2)


def unweighted(labels, score, stratum) -> float:
    return float(np.mean([whole(labels[stratum == v], score[stratum == v]) for v in np.unique(stratum)]))


def refitted(X, labels) -> float:
    from sklearn.linear_model import LogisticRegression

    return whole(labels, LogisticRegression(C=100.0).fit(X, labels).decision_function(X))


def crossed_effects(means, over=np.mean, sign=1):
    """What one cause does, what the other does, and their interaction, from a table of means."""
    columns, rows = means[:, 1] - means[:, 0], means[1] - means[0]
    return over(columns), over(rows), sign * (columns[1] - columns[0])


X3 = np.concatenate


@pytest.mark.parametrize(
    ("name", "answer", "message"),
    [
        ("CETT", lambda z, c, h, x: (z * c).norm() / x.norm(), "residual stream"),
        ("CETT", lambda z, c, h, x: z * c.norm() / h.norm(), "fires negatively"),
        ("CETT", lambda z, c, h, x: abs(z) / h.norm(), "length of the column is missing"),
        ("CETT", lambda z, c, h, x: (z * c).pow(2).sum() / h.pow(2).sum(), "root of the sum"),
        ("CETT", lambda z, c, h, x: (z * c).norm(), "relative to what"),
        ("CETT", lambda z, c, h, x: (z * c) @ h / h.norm() ** 2, "ignores direction"),
        ("CETT", lambda z, c, h, x: torch.tensor(7.0), "it gives 7.0 where 1.25 is right"),
        ("pooling over the answer", lambda v, a: (v[a].mean(0), v.mean(0)), "leave those out"),
        ("pooling over the answer", lambda v, a: (v[a].sum(0), v[rest(v, a)].sum(0)), "averages, or longer"),
        ("pooling over the answer", lambda v, a: (v[a].amax(0), v[rest(v, a)].amax(0)), "took the largest"),
        ("pooling over the answer", lambda v, a: (v[rest(v, a)].mean(0), v[a].mean(0)), "swapped"),
        (
            "pooling over the answer",
            lambda v, a: (v[[i - 1 for i in a]].mean(0), v[rest(v, [i - 1 for i in a])].mean(0)),
            "one position early",
        ),
        ("3-vs-1 rows", lambda a, o, m: (X3([a, o]), X3([m, m])), "other tokens are no hallucination"),
        ("3-vs-1 rows", lambda a, o, m: (X3([a, o]), X3([1 - m, 0 * m])), "other way round"),
        ("3-vs-1 rows", lambda a, o, m: (a, m), "only the answers' rows"),
        ("3-vs-1 rows", lambda a, o, m: (X3([a, o[m == 0]]), X3([m, [0]])), "four kinds"),
        ("3-vs-1 rows", lambda a, o, m: (a[:1], m[:1]), "come six rows"),
        ("3-vs-1 rows", lambda a, o, m: (a, m[:2]), "one label a row"),
        ("reading the path", lambda a, e: int(np.argmax(a)), "that is the best one"),
        ("reading the path", lambda a, e: max(i for i, v in enumerate(a) if v >= max(a) - e), "densest"),
        ("reading the path", lambda a, e: next(i for i, v in enumerate(a) if v >= 0.5 + e), "0.5, not of the best"),
        ("a fair random baseline", lambda h, d, s: of_same_layers(h, d, s, also=1), "11 neurons for 9"),
        ("a fair random baseline", lambda h, d, s: of_same_layers(h, d, s, replace=True), "drawn twice"),
        ("a fair random baseline", lambda h, d, s: of_same_layers(h, d, s, apart=False), "an H-Neuron is among"),
        ("a fair random baseline", lambda h, d, s: of_same_layers(h, d, 0), "different seeds"),
        (
            "a fair random baseline",
            lambda h, d, s: np.random.default_rng(s).choice(np.setdiff1d(np.arange(3 * d), h), len(h), replace=False),
            "layers differ",
        ),
        ("spot the confound", (auroc_within, "topic"), "score does not see it"),
        ("spot the confound", (auroc_within, "time of day"), "a nuisance, no confound"),
        ("spot the confound", (auroc_within, "weather"), "none of the suspects"),
        ("spot the confound", (lambda y, s, g: whole(y, s), "length"), "all answers together"),
        ("spot the confound", (unweighted, "length"), "weigh each"),
        ("scaling and undoing it", with_hook(in_place), "clone it first"),
        ("scaling and undoing it", with_hook(first_token), "every token"),
        ("scaling and undoing it", with_hook(added), "it multiplies"),
        ("scaling and undoing it", with_hook(lambda z, _, a: (a * z,)), "whole layer"),
        ("scaling and undoing it", with_hook(lambda z, *_: None), "nothing changed"),
        ("scaling and undoing it", with_hook(right_turn, careful=False), "into `finally`"),
        ("scaling and undoing it", left_hanging, "still hangs"),
        ("scaling and undoing it", by_weights, "last bits"),
        ("compliance rate with interval", lambda o, p, s: over(o, p, "replies"), "too narrow"),
        ("compliance rate with interval", lambda o, p, s: over(o, p, "people", 100), "percent"),
        ("compliance rate with interval", lambda o, p, s: over(o, p, "people", among=o != "neither"), "neither count"),
        ("compliance rate with interval", lambda o, p, s: (np.mean(o == "complied"), 0.0, 1.0), "too wide"),
        ("compliance rate with interval", lambda o, p, s: (0.5, 0.4, 0.6), "replies complied, which is"),
        ("pooling over the answer", lambda v, a: (v[a].mean(1), v[rest(v, a)].mean(1)), "average over the first axis"),
        ("reading the path", lambda a, e: min(above(a, e), key=lambda i: a[i]), "nearest the bar"),
        ("a fair random baseline", lambda h, d, s: of_same_layers(h, d, s) % d, "all lie in layer 0"),
        ("a fair random baseline", lambda h, d, s: of_same_layers(h, d, None), "the same seed gives another set"),
        ("spot the confound", (by_size, "length"), "not by its size"),
        ("scaling and undoing it", with_hook(whole_tokens), "last axis"),
        ("scaling and undoing it", swallowing, "vanished"),
        (
            "compliance rate with interval",
            lambda o, p, s: over(o, p, "people", ends=(5, 95)),
            "percentiles 2.5 and 97.5",
        ),
        ("compliance rate with interval", lambda o, p, s: over(o, p, "people", ends=(0.025, 0.975)), "counts to 100"),
        ("compliance rate with interval", lambda o, p, s: over(o, p, "people", once=True), "drawn twice counts twice"),
        ("compliance rate with interval", lambda o, p, s: over(o, p, "people", few=2), "as many people as there are"),
        ("compliance rate with interval", lambda o, p, s: (0.4, (0.3, 0.5)), "expected three numbers"),
        ("3-vs-1 rows", lambda a, o, m: None, "returns nothing"),
        ("spot the confound", (lambda y, s, g: None, "length"), "returns nothing"),
        ("compliance rate with interval", lambda o, p, s: 3 * (np.mean(o == "complied"),), "no width"),
        ("base transfer", lambda X, y, w, b: np.mean((X @ w + b > 0) == y), "accuracy at score 0"),
        ("base transfer", lambda X, y, w, b: 1 - whole(y, X @ w), "below 0.5"),
        ("base transfer", lambda X, y, w, b: whole(y, X @ np.abs(w)), "sign matters"),
        ("base transfer", lambda X, y, *_: refitted(X, y), "fitted anew"),
        ("two effects and their interaction", lambda m: crossed_effects(m.T), "swapped"),
        ("two effects and their interaction", lambda m: crossed_effects(m, np.sum), "you added them up"),
        ("two effects and their interaction", lambda m: crossed_effects(m, lambda d: d[0]), "from the cell of true"),
        ("two effects and their interaction", lambda m: crossed_effects(m, sign=-1), "wrong sign"),
    ],
)
def test_usual_mistakes_are_diagnosed(name, answer, message):
    with pytest.raises(Mistake, match=message):
        check(name, answer)


def test_the_confound_is_one():
    data = stratified()
    assert whole(data["labels"], data["score"]) == pytest.approx(0.74, abs=0.02)
    within = {
        name: auroc_within(data["labels"], data["score"], data[name]) for name in ("length", "topic", "time of day")
    }
    assert within["length"] == pytest.approx(0.5, abs=0.02)
    assert min(within["topic"], within["time of day"]) > 0.7


def test_an_unknown_exercise_is_named():
    with pytest.raises(ValueError, match="no exercise is called 'CET'"):
        check("CET", None)


def test_jupyter_shows_a_diagnosis_without_a_traceback():
    assert Mistake("too narrow")._render_traceback_() == ["Not yet: too narrow"]
