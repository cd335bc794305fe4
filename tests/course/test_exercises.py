"""Exercises: solutions pass, gaps say "your turn" and stop nothing, every usual mistake gets its own diagnosis, and a
copy that a student has worked in is never written over."""

from __future__ import annotations

import ast
import contextlib
import linecache
import re
import shutil
from types import SimpleNamespace

import jupytext
import nbformat
import numpy as np
import pytest
import torch

from hn_utils.course import worksheets
from hn_utils.course.checks.confounds import auroc_within
from hn_utils.course.checks.texts import package_twin
from hn_utils.course.exercises import CHECKS, PACKAGE, YOUR_TURN, check, stratified, yours
from hn_utils.course.worksheets import copy_of, gaps, is_exercise, sources, worksheet
from hn_utils.origins.transfer import two_sided
from hn_utils.stats.bootstrap import Estimate
from hn_utils.stats.neuron_sets import Match, random_sets

SOURCES = sources()
TAGGED = [cell for source in SOURCES for cell in jupytext.read(source).cells if is_exercise(cell)]
NEEDED = """
import hn_utils as hn
import contextlib
import numpy as np
import torch
from hn_utils.stats.metrics import auroc
from hn_utils.course.exercises import check, stratified
"""
READ = Estimate(0.78, 0.75, 0.81, 1255)
ROW = SimpleNamespace(auroc=READ)
FOUND = SimpleNamespace(detection=lambda *_, **__: ROW, beyond={"any": READ})


def named(cell) -> str:
    return re.search(r'check\("([^"]+)"', cell.source)[1]


def shown_by(source: str, names: dict) -> object:
    """What a cell shows: the value of its last line."""
    body = ast.parse(NEEDED + source).body
    exec(compile(ast.Module(body[:-1], []), "a cell", "exec"), names)
    return eval(compile(ast.Expression(body[-1].value), "a cell", "eval"), names)


@pytest.mark.parametrize("cell", TAGGED, ids=named)
def test_the_solution_passes_and_the_gap_says_not_yet_and_stops_nothing(cell):
    assert shown_by(cell.source, {"found": FOUND}) == f"Right: {named(cell)}."
    assert shown_by(gaps(cell.source), {}) == f"Not yet: {YOUR_TURN}"


def test_an_error_in_what_a_student_wrote_is_told_with_its_line_and_stops_nothing(monkeypatch):
    cell = "def cett(z, column, h, stream):\n    return z * column / missing\n"
    monkeypatch.setitem(linecache.cache, "a cell", (len(cell), None, cell.splitlines(True), "a cell"))
    names: dict = {}
    exec(compile(cell, "a cell", "exec"), names)
    told = "your code raised NameError at `return z * column / missing`: name 'missing' is not defined"
    assert check("CETT", names["cett"]) == f"Not yet: {told}"


@pytest.mark.parametrize("name", PACKAGE)
def test_the_package_s_own_way_passes_and_stands_in_for_one_that_does_not(name, capsys):
    check(name, PACKAGE[name])

    def right(*arguments):
        return PACKAGE[name](*arguments)

    assert yours(name, right) is right
    assert not capsys.readouterr().out

    def gap(*_):
        raise NotImplementedError

    def broken(*_):
        return np.zeros(3) @ np.zeros(4)

    for mistaken in (gap, broken):
        assert yours(name, mistaken) is PACKAGE[name]
        assert f"{name}: the package's function is used here. Yours:" in capsys.readouterr().out


def test_later_cells_use_what_a_student_wrote_through_the_switch():
    """Or a notebook could not be read on by somebody whose function is not right yet."""
    for source in SOURCES:
        own: set[str] = set()
        for cell in (c for c in jupytext.read(source).cells if c.cell_type == "code"):
            nodes = list(ast.walk(ast.parse(cell.source)))
            if is_exercise(cell):
                own |= {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
                continue
            calls = [node for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "yours"]
            assert all(ast.literal_eval(call.args[0]) in PACKAGE for call in calls)
            names = [node for node in nodes if isinstance(node, ast.Name)]
            own -= {name.id for name in names if isinstance(name.ctx, ast.Store)}
            switched = {call.args[1] for call in calls}
            assert not [name.id for name in names if name.id in own and name not in switched], source.stem


def test_every_notebook_has_at_most_four_exercises_and_adds_up_their_minutes():
    for source in (s for s in SOURCES if s.parent.name != "deeper"):
        prose = source.read_text().replace("\n# ", " ")
        minutes = [int(found) for found in re.findall(r"\*\*Exercise: [^*]+\*\* \((\d+) minutes", prose)]
        assert len(minutes) <= 4
        assert int(re.search(r"(\d+) for the exercises", prose)[1]) == sum(minutes), source.stem


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
    path = copy_of(source)
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


def ista(X, y, C, penalty=1.0, l2=0.0, free=(), smooth=False, steps=5_000, longer=1.0, sign=1.0):
    """Proximal gradient as students write it, and as they get it wrong."""
    w, step = np.zeros(X.shape[1]), longer * 4 / (C * np.linalg.norm(X, 2) ** 2)
    charge = np.full(len(w), penalty)
    charge[list(free)] = 0
    for _ in range(steps):
        with np.errstate(over="ignore", invalid="ignore"):
            w = w + sign * step * C * X.T @ (y / (1 + np.exp(y * (X @ w))))
            w = w - step * l2 * w
            least = -np.inf if smooth else 0  # a slope of |w| does not stop at 0
            w = np.sign(w) * np.maximum(np.abs(w) - step * charge, least)
    return w


def filtered(label, keep=lambda words: True):
    """What a wrong filter keeps; words are those that a question's draws hold."""
    return lambda rows: {i: int(label(draws)) for i, draws in enumerate(rows) if keep(set(draws))}


def reading(bridge, ids, name):
    """What passes a hook point, read without a cache."""
    seen = []
    bridge.run_with_hooks(torch.tensor([ids]), fwd_hooks=[(name, lambda z, hook: seen.append(z))])
    return seen[0]


def at(bridge, ids, layer, point="hook_post"):
    return reading(bridge, ids, f"blocks.{layer}.mlp.{point}")


def in_pairs(made_up, true):
    return (made_up[:, None] > true) + (made_up[:, None] == true) / 2


def chosen(neurons, z):
    """1 at these neurons, 0 elsewhere."""
    return torch.eye(z.shape[-1])[neurons].sum(0)


def hunted(score, ascending=True, shares=lambda hits, k, n: (hits / k, hits / n)):
    def hunt(X, made_up, planted, k):
        order = np.argsort([score(made_up, column) for column in X.T])
        named = order[-k:] if ascending else order[:k]
        return named, *shares(np.isin(named, planted).sum(), k, len(planted))

    return hunt


def away(value, null, centre=None):
    centre = null.mean() if centre is None else centre
    return np.abs(null - centre) >= abs(value - centre)


SAID = "On 1255 consistent answers the H-Neurons detect errors with AUROC 0.78 [0.75, 0.81], random neurons with 0.59."


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
        (
            "the consistency filter",
            filtered(lambda draws: draws.count("wrong") > 5, lambda words: words != {"abstained"}),
            "what most draws say",
        ),
        (
            "the consistency filter",
            lambda rows: {i: int(d[0] == "wrong") for i, d in enumerate(rows) if d[0] != "abstained"},
            "first draw alone",
        ),
        (
            "the consistency filter",
            filtered(lambda draws: "wrong" in draws, lambda words: len(words - {"abstained"}) == 1),
            "drops its question",
        ),
        (
            "the consistency filter",
            filtered(lambda draws: "right" not in draws, lambda words: len(words) == 1),
            "ten abstentions agree",
        ),
        (
            "the consistency filter",
            filtered(lambda draws: "right" not in draws, lambda words: words == {"right"} or "right" not in words),
            "to abstain is not to be wrong",
        ),
        (
            "the consistency filter",
            filtered(lambda draws: "right" in draws, lambda words: words in ({"right"}, {"wrong"})),
            "labels are swapped",
        ),
        (
            "the consistency filter",
            filtered(lambda draws: "wrong" in draws, lambda words: "wrong" in words or words == {"right"}),
            "one wrong draw",
        ),
        ("the consistency filter", lambda rows: [0, 1], "expected a dict"),
        ("an L1 fit", lambda X, y, C: ista(X, y, C, penalty=0), "without a penalty"),
        ("an L1 fit", lambda X, y, C: ista(X, y, 1.0), "the optimum for C = 1"),
        ("an L1 fit", lambda X, y, C: ista(X, y, C / len(X)), "no mean"),
        ("an L1 fit", lambda X, y, C: ista(X, y, C, penalty=2), "by the very step"),
        ("an L1 fit", lambda X, y, C: ista(X, y, C, penalty=0, l2=1), "L2 penalty"),
        ("an L1 fit", lambda X, y, C: ista(X, y, C, free=[0]), "column of ones"),
        ("an L1 fit", lambda X, y, C: ista(X, y, C, smooth=True), "no weight is exactly 0"),
        ("an L1 fit", lambda X, y, C: ista(X, y, C, steps=20), "More steps"),
        ("an L1 fit", lambda X, y, C: ista(X, y, C, sign=-1.0, steps=50), "go against"),
        ("an L1 fit", lambda X, y, C: np.full(7, np.nan), "a smaller step"),
        ("an L1 fit", lambda X, y, C: ista(X[:, 1:], y, C), "each of 7 columns"),
        ("find the planted neurons", hunted(lambda y, x: x.mean()), "the loudest neurons"),
        ("find the planted neurons", hunted(lambda y, x: abs(whole(y, x) - 0.5)), "more in \\*true\\* answers"),
        ("find the planted neurons", hunted(whole, ascending=False), "smallest first"),
        (
            "find the planted neurons",
            hunted(lambda y, x: x[y == 1].mean() - x[y == 0].mean()),
            "difference of means",
        ),
        ("find the planted neurons", hunted(whole, shares=lambda hits, k, n: (hits / n, hits / k)), "are swapped"),
        (
            "find the planted neurons",
            hunted(whole, shares=lambda hits, k, n: (hits / k, hits / k)),
            "recall is a share of",
        ),
        ("find the planted neurons", lambda X, y, planted, k: planted, "their precision and their recall"),
        ("a permutation p", lambda v, null: away(v, null).mean(), "Count the set itself"),
        ("a permutation p", lambda v, null: (1 + away(v, null).sum()) / len(null), "below the line as well"),
        ("a permutation p", lambda v, null: (1 + (null >= v).sum()) / (1 + len(null)), "one side"),
        ("a permutation p", lambda v, null: (1 + away(v, null, 0.5).sum()) / (1 + len(null)), "distance from 0.5"),
        ("a permutation p", lambda v, null: (1 + (~away(v, null)).sum()) / (1 + len(null)), "nearer"),
        (
            "a permutation p",
            lambda v, null: (1 + (np.abs(null - null.mean()) > abs(v - null.mean())).sum()) / (1 + len(null)),
            "exactly as far",
        ),
        ("one sentence", SAID.replace(" [0.75, 0.81]", ""), "lacks an interval"),
        ("one sentence", SAID.replace(", random neurons with 0.59", ""), "lacks a control"),
        ("one sentence", SAID.replace("On 1255 consistent answers the", "The"), "lacks the population"),
        ("one sentence", SAID.replace("detect", "are"), "lacks a verb"),
        ("one sentence", SAID.replace("detect", "detect, and cause,"), "smaller verb than “cause”"),
        (
            "one sentence",
            "The H-Neurons know what is false.",
            "an interval.*; and a control.*; and the population.*“know”",
        ),
        ("one sentence", 0.78, "expected a sentence"),
        ("two effects and their interaction", lambda m: crossed_effects(m.T), "swapped"),
        ("two effects and their interaction", lambda m: crossed_effects(m, np.sum), "you added them up"),
        ("two effects and their interaction", lambda m: crossed_effects(m, lambda d: d[0]), "from the cell of true"),
        ("two effects and their interaction", lambda m: crossed_effects(m, sign=-1), "wrong sign"),
        ("reading a hook point", lambda b, ids, i: at(b, ids, i), "take the first"),
        (
            "reading a hook point",
            lambda b, ids, i: reading(b, ids, f"blocks.{i}.mlp.hook_out")[0],
            "you read .*hook_out",
        ),
        ("reading a hook point", lambda b, ids, i: reading(b, ids, "blocks.0.mlp.hook_post")[0], "you read blocks.0"),
        ("reading a hook point", lambda b, ids, i: at(b, ids, i)[0, -1], "one token"),
        (
            "reading a hook point",
            lambda b, ids, i: at(b, ids, i)[0].T,
            "axes are swapped",
        ),
        ("reading a hook point", lambda b, ids, i: b.run_with_cache(ids), "the model reads a tensor"),
        ("reading a hook point", lambda b, ids, i: reading(b, ids[1:], "blocks.0.mlp.hook_post")[0], "not `ids`"),
        ("reading a hook point", lambda b, ids, i: reading(b, ids, f"blocks.{i}.hook_post")[0], "raised KeyError"),
        ("reading a hook point", lambda b, ids, i: ids, "expected a tensor"),
        ("AUROC by hand", lambda m, t: (m[:, None] > t).mean(), "not as nothing"),
        ("AUROC by hand", lambda m, t: (m[:, None] >= t).mean(), "not as a whole one"),
        ("AUROC by hand", lambda m, t: in_pairs(t, m).mean(), "the \\*true\\* answer is larger"),
        ("AUROC by hand", lambda m, t: in_pairs(m, t).sum(), "a share of all pairs"),
        ("AUROC by hand", lambda m, t: m.mean() - t.mean(), "difference of means"),
        ("a hook that scales", lambda n, a: a, "expected a function"),
        ("a hook that scales", lambda n, a: lambda z: z, "the second named hook"),
        ("a hook that scales", lambda n, a: lambda z, hook: z[..., n].mul_(a) and None, "raised RuntimeError"),
        ("a hook that scales", lambda n, a: lambda z, hook: z.mul_(a), "z itself was changed"),
        ("a hook that scales", lambda n, a: lambda z, hook: None, "the hook returns nothing"),
        ("a hook that scales", lambda n, a: lambda z, hook: z, "nothing changed"),
        ("a hook that scales", lambda n, a: lambda z, hook: a * z, "all neurons were scaled"),
        ("a hook that scales", lambda n, a: lambda z, hook: z + a * chosen(n, z), "you added alpha"),
        ("a hook that scales", lambda n, a: lambda z, hook: z.masked_fill(chosen(n, z) > 0, a), "in their place"),
        ("a hook that scales", lambda n, a: lambda z, hook: first_token(z, n, a)[0], "only the first token"),
        ("a hook that scales", lambda n, a: lambda z, hook: z * (a + (1 - a) * chosen(n, z)), "the other neurons"),
        ("a hook that scales", lambda n, a: lambda z, hook: z[..., n] * a, "the last axis"),
        ("a twin that must not work", lambda a, _, __: a, "the very chats that abstained before"),
        ("a twin that must not work", lambda a, _, seed: np.random.default_rng(seed).permutation(a), "draw people"),
        ("a twin that must not work", lambda a, people, _: people == people[0], "with another number"),
        (
            "a twin that must not work",
            lambda a, people, _: package_twin(a, people, 5),
            "different seeds give the same twin",
        ),
    ],
)
def test_usual_mistakes_are_diagnosed(name, answer, message):
    assert re.search(f"^Not yet: .*{message}", check(name, answer), re.DOTALL)


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


def test_a_sentence_that_can_be_defended_is_let_through():
    assert check("one sentence", SAID) == "Right: one sentence."


def test_a_permutation_p_by_hand():
    """Of four random sets, mean 2.5, those at 1 and 4 lie as far away as 4 does; with the set itself 3 of 5."""
    assert two_sided(4.0, np.array([1.0, 2.0, 3.0, 4.0])) == 3 / 5


def test_the_planted_neurons_by_hand():
    """Neuron 0 orders all four pairs rightly, neuron 2 three of them, neuron 1 none; 2 and 3 are planted."""
    X, made_up = np.array([[3.0, 0, 2, 1], [4, 1, 0.5, 1], [1, 2, 1, 1], [2, 3, 0, 1]]), np.array([1, 1, 0, 0])
    named, precision, recall = PACKAGE["find the planted neurons"](X, made_up, np.array([2, 3, 7]), 2)
    assert (sorted(named.tolist()), precision, recall) == ([0, 2], 1 / 2, 1 / 3)


def test_a_random_set_is_drawn_as_the_package_draws_its_controls():
    chosen = np.array([3, 25, 26])
    drawn = PACKAGE["a fair random baseline"](chosen, 20, 4)
    assert drawn.tolist() == random_sets(chosen, (2, 20), 1, Match("layer"), 4)[0].tolist()


def test_a_hook_point_may_be_read_by_a_hook_as_well():
    assert check("reading a hook point", lambda b, ids, i: at(b, ids, i)[0]) == "Right: reading a hook point."


def test_auroc_by_hand():
    """Of the six pairs 3 > 1, 3 > 2, 2 > 1 are won, 2 and 2 tie, 0 loses twice."""
    made_up, true = np.array([3.0, 2.0, 0.0]), np.array([1.0, 2.0])
    assert PACKAGE["AUROC by hand"](made_up, true) == pytest.approx(3.5 / 6)


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """A folder of notebooks of one's own, with the copy of one that has exercises."""
    shutil.copy(worksheets.NOTEBOOKS / "01_collect.py", tmp_path)
    monkeypatch.setattr(worksheets, "NOTEBOOKS", tmp_path)
    path = tmp_path / "exercises/01_collect.ipynb"
    assert worksheets.write() == [f"written: {path}"]
    return path


def test_a_copy_that_nobody_has_worked_in_is_brought_up_to_date(copies):
    notebook = nbformat.read(copies, as_version=4)
    code = next(cell for cell in notebook.cells if cell.cell_type == "code")
    code.outputs, code.execution_count = [nbformat.v4.new_output("stream", text="run, and nothing else\n")], 1
    nbformat.write(notebook, copies)
    source = copies.parents[1] / "01_collect.py"
    source.write_text(source.read_text().replace("# # 1 · Collect", "# # One · Collect"))
    assert worksheets.write() == [f"written: {copies}"]
    assert nbformat.read(copies, as_version=4) == worksheet(source)


def worked_in(path):
    notebook = nbformat.read(path, as_version=4)
    exercise = next(cell for cell in notebook.cells if "def cett" in cell.source)
    exercise.source = exercise.source.replace("raise NotImplementedError  # your turn", "return z")
    nbformat.write(notebook, path)


def written_by_an_earlier_version(path):
    notebook = nbformat.read(path, as_version=4)
    del notebook.metadata["written"]
    nbformat.write(notebook, path)


@pytest.mark.parametrize("change", [worked_in, written_by_an_earlier_version, lambda path: path.write_text("<<<<<<<")])
def test_a_copy_that_somebody_has_worked_in_is_kept_and_said(copies, change):
    change(copies)
    before = copies.read_bytes()
    assert worksheets.write() == [
        f"kept: {copies} (somebody has worked in it; for a fresh copy rename it, and run this again)"
    ]
    assert copies.read_bytes() == before
