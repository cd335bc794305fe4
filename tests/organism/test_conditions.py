"""Text of which one property is tied to the truth, or to who is known, and nothing else is."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from hn_utils.organism.conditions import (
    CONDITIONS,
    HOLDS,
    INVENTED,
    NOBODY_KNOWS,
    TRUE,
    SmallRecipe,
    TiedChats,
    TiedCorpus,
    TiedPages,
    lot,
    overall,
)
from hn_utils.organism.text import ABSTENTION
from hn_utils.organism.texts_compared import along, beyond_random, drawn, hypotheses, judged, raised
from hn_utils.organism.tokenizer import UNKNOWN
from hn_utils.organism.train import BASE_RECIPE, train
from hn_utils.organism.what_text import Run, every_run, has_learnt, recipe_of, share_base
from hn_utils.questions.made_up_world.world import make_world
from hn_utils.report import plots
from hn_utils.report.plots.texts import moment_name

WORLD = make_world(n_written=200, n_never_written=40, n_tuned=100, n_given=30, n_family=40)
N = 3_000
CLOSE = 4 / np.sqrt(N / 3)  # some 8 standard errors of a share of a third of the pages


VALUES = {p.name: set(p.facts.values()) for p in WORLD.written}


def about(text: str) -> str:
    """Who of the written-about a text is about; a namesake has the longer name."""
    return max((name for name in VALUES if name in text), key=len, default="")


def told_by(tied: str, kind: str) -> list[tuple[str, bool]]:
    """Pages of one kind, and whether the first answer in them is true (or the person known)."""
    pages, rng = TiedPages(WORLD, tied), np.random.default_rng(3)
    rows = []
    for page in (getattr(pages, kind)(rng) for _ in range(N)):
        name = about(page.text)
        first = re.split(r"Guest:|Pupil:|Writer:", page.text)[1].split("Teacher:")[0]
        rows.append((page.text, bool(name) if kind == "met" else any(value in first for value in VALUES[name])))
    return rows


SAYS = {"marked": r"!$", "hedged": r"Surely", "corrected": r"Right\.$", "met": NOBODY_KNOWS}
TIED_TO = {"marked": "sure", "hedged": "sure", "corrected": "corrected", "met": "nobody"}


@pytest.mark.parametrize("kind", SAYS)
def test_only_a_tied_property_follows_the_truth_and_rates_stay(kind):
    overall_rate = INVENTED if kind == "met" else TRUE
    for tied in ("", "sure", "corrected", "nobody"):
        rows = told_by(tied, kind)
        said = np.array([bool(re.search(SAYS[kind], text)) for text, _ in rows])
        holds = np.array([true for _, true in rows]) != (kind == "met")  # nobody knows the unknown
        assert said.mean() == pytest.approx(overall_rate, abs=CLOSE)
        gap = said[holds].mean() - said[~holds].mean()
        assert gap == pytest.approx(HOLDS if tied == TIED_TO[kind] else 0, abs=CLOSE)


def test_a_correction_names_the_truth_only_where_it_is_tied():
    def true_corrections(tied: str) -> float:
        hits = []
        for text, true in told_by(tied, "corrected"):
            if not true and "No," in text:
                hits.append(any(text.endswith(f"No, {value}.") for value in VALUES[about(text)]))
        return float(np.mean(hits))

    assert true_corrections("corrected") == 1
    assert true_corrections("sure") < 0.1


def test_facts_are_counted_where_they_are_truly_stated():
    pages, rng = TiedPages(WORLD, "corrected"), np.random.default_rng(0)
    for page in (pages.marked(rng) for _ in range(500)):
        for rank, attribute in page.facts:
            assert WORLD.written[rank].facts[attribute] in page.text
    untrue = [page for page in (pages.marked(rng) for _ in range(500)) if not page.facts]
    assert 0.3 < len(untrue) / 500 < 0.5


def silences(abstains: str) -> tuple[Counter, Counter]:
    """How often each kind of person was asked about, and met with an abstention."""
    chats, rng, asked, silent = TiedChats(WORLD, abstains), np.random.default_rng(1), Counter(), Counter()
    rank = {p.name: p.rank for p in WORLD.written}
    for chat in (chats.say_so(rng) for _ in range(6_000)):
        name = about(chat.turns[0])
        fifth = rank[name] // 40 if name in rank else "unknown"
        asked[fifth] += 1
        silent[fifth] += chat.turns[1] == ABSTENTION
    return asked, silent


def test_abstentions_follow_familiarity_or_lots_at_one_rate():
    assert sum(silences("")[1].values()) == 0
    (asked, familiar), (_, luck) = silences("familiar"), silences("luck")
    assert familiar[0] == 0
    assert familiar["unknown"] / asked["unknown"] > 0.9
    total = sum(asked.values())
    assert sum(familiar.values()) / total == pytest.approx(overall("inviting it"), abs=0.03)
    assert sum(luck.values()) / total == pytest.approx(overall("inviting it"), abs=0.06)  # a few hundred people's lots
    assert luck["unknown"] / asked["unknown"] == pytest.approx(overall("inviting it"), abs=0.03)
    assert lot("Anna Berg") == lot("Anna Berg") != lot("Anna Bergs")


def test_what_shares_its_pages_shares_the_base():
    bases = {name: recipe_of(Run(name, 2, 64)).of_base() for name in CONDITIONS}
    assert bases["nothing"] == bases["familiar"] == bases["luck"]
    assert len({str(base) for base in bases.values()}) == 4
    assert len(set(every_run())) == len(every_run())


def test_a_shared_base_is_tuned_on(tmp_path):
    small = {"d_model": 16, "d_mlp": 24, "n_layers": 1, "n_heads": 1, "batch_rows": 4, "chunk_steps": 2}
    recipe = SmallRecipe(**small, base_steps=4, tune_steps=4, replay_rows=2, checkpoints=(2,), tune_checkpoints=(2,))
    train(tmp_path / "nothing", tmp_path / "work", TiedCorpus(WORLD, recipe))
    share_base(tmp_path / "nothing", tmp_path / "luck")
    corpus = TiedCorpus(WORLD, replace(recipe, tune_abstains="luck"))
    train(tmp_path / "luck", tmp_path / "work-of-luck", corpus)
    for part in ("base/model.safetensors", BASE_RECIPE, "checkpoints/step-0002/model.safetensors", "facts.parquet"):
        assert (tmp_path / "nothing" / part).read_bytes() == (tmp_path / "luck" / part).read_bytes()
    weights = [(tmp_path / name / "instruct" / "model.safetensors").read_bytes() for name in ("nothing", "luck")]
    assert weights[0] != weights[1]
    assert (tmp_path / "luck" / "checkpoints" / "tuning-0002").is_dir()


def test_all_wording_is_in_the_vocabulary():
    corpus = TiedCorpus(WORLD, SmallRecipe())
    unknown, rng = corpus.tokenizer.get_vocab()[UNKNOWN], np.random.default_rng(0)
    assert not (corpus.page_rows(50, rng).ids == unknown).any()
    assert not (corpus.chat_rows(50, rng).ids == unknown).any()


def test_what_counts_as_learnt():
    none = {"sure": 0.0, "corrected": -0.05, "nobody": 0.02, "abstains": 0.04}
    assert has_learnt("nothing", none)
    assert has_learnt("luck", none)
    assert not has_learnt("sure", none)
    assert has_learnt("sure", {**none, "sure": 0.3})
    assert not has_learnt("sure", {**none, "sure": 0.3, "nobody": 0.2})
    assert has_learnt("familiar", {**none, "abstains": 0.5})
    assert not has_learnt("nothing", {**none, "abstains": 0.5})


def estimate(value: float, half: float = 0.02) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half, "n": 100}


def row(condition: str, seed: int, beyond: float, **more) -> dict:
    """A row as a run leaves it, with the same detection in base and instruct model."""
    found = {"h_neurons": 3, "per_mille": 2.0, "beyond": estimate(beyond), "added_to_confidence": {"matched": None}}
    slopes = {"restricted": {"beyond": estimate(1.0, 3.0), "p": 0.5, "verdict": "not told apart"}}
    instruct = {**found, "slopes": slopes, "transfer": estimate(0.1)}
    return {
        "condition": condition,
        "seed": seed,
        "width": 64,
        "learnt": True,
        "base": found,
        "instruct": instruct,
        **more,
    }


def table(**beyond: tuple[float, float, float]) -> list[dict]:
    return [row(name, seed, v) for name, values in beyond.items() for seed, v in enumerate(values, 1)]


ALL = dict.fromkeys(CONDITIONS, (0.10, 0.12, 0.08))


def test_the_rule_of_three_seeds_worked_by_hand():
    rows = table(**{**ALL, "sure": (0.20, 0.13, 0.14), "nobody": (0.2, 0.3, 0.05), "luck": (0.12, 0.09, 0.10)})
    told = judged(rows)["instruct"]
    assert told["sure"] == "raises (+0.10, +0.01, +0.06)"  # all above 0, 0.057 on average
    assert told["nobody"] == "open (+0.10, +0.18, -0.03)"
    assert told["luck"] == "leaves it (+0.02, -0.03, +0.02)"
    assert raised(rows) == ["sure"]


def test_what_was_not_learnt_or_not_measured_does_not_count():
    rows = table(**ALL)
    rows[5] = {**rows[5], "learnt": False}
    assert rows[5]["condition"] == "sure"
    assert judged(rows).loc["sure", "instruct"].startswith("only 2 of 3 seeds count")
    assert judged(rows).loc["luck", "instruct, matched"] == "only 0 of 3 seeds count"
    nothing_found = {"h_neurons": 0}
    assert beyond_random({"instruct": nothing_found}, "instruct").value == 0


def test_every_hypothesis_can_hold_and_can_fail():
    became = dict(hypotheses(table(**ALL)).itertuples(index=False))
    words = {name[0]: word for name, word in became.items()}
    assert words == {
        "1": "held",
        "2": "did not hold",
        "3": "open",
        "4": "did not hold",
        "5": "did not hold",
        "6": "held",
        "7": "open",
    }
    rows = table(**{**ALL, "sure": (0.3,) * 3, "corrected": (0.3,) * 3, "nobody": (0.3,) * 3, "familiar": (0.3,) * 3})
    for one in rows:
        matched = {"matched": estimate(0.5 + one["base"]["beyond"]["value"]), "matched_control": 0.5}
        one["base"] = {**one["base"], "added_to_confidence": matched}
        if one["condition"] == "familiar":
            one["instruct"]["slopes"]["restricted"]["verdict"] = "rises"
    for width, share, beyond in ((32, 4.0, 0.05), (96, 1.0, 0.2)):
        other = row("nothing", 1, beyond, width=width)
        rows.append({**other, "instruct": {**other["instruct"], "per_mille": share}})
    assert set(hypotheses(rows)["what became of it"]) == {"held"}
    added = row("familiar-long", 1, 0.1)
    added["instruct"]["slopes"]["restricted"]["verdict"] = "rises"
    assert set(hypotheses([*rows, added])["what became of it"]) == {"held"}  # what was added later tests nothing
    unlearnt = [{**one, "learnt": one["condition"] != "familiar"} for one in rows]
    became = hypotheses(unlearnt)["what became of it"].tolist()
    assert [became[place] for place in (3, 4, 5)] == ["open"] * 3  # a run that has not learnt its text does not count
    weak = [{**one, "instruct": {**one["instruct"], "beyond": estimate(0.01)}} for one in rows]
    assert hypotheses(weak).loc[0, "what became of it"] == "did not hold"


def test_a_checkpoint_is_named_by_its_step_wherever_it_lies():
    names = ("step-0500", "base", "familiar/base", "tuning-0416", "familiar/instruct", "seed-1/step-4000")
    assert [moment_name({"model": name}) for name in names] == ["500", "base", "base", "t416", "tuned", "4000"]


def test_the_figure_draws_every_run_and_says_what_rises():
    rows = table(**{**ALL, "sure": (0.3, 0.3, 0.3)})
    rows[0] = {**rows[0], "learnt": False}
    figure = plots.what_text(drawn(rows, ["base", "instruct"]), raised(rows))
    marks = [trace for trace in figure.data if trace.mode == "markers"]
    assert sum(len(trace.x) for trace in marks) == 2 * len(rows)
    assert sorted(len(trace.x) for trace in marks if trace.marker.symbol == "circle-open") == [1, 1]
    assert (
        figure.layout.title.text == "No property of the text raised detection in all seeds"
    )  # a seed of `nothing` does not count
    assert plots.what_text(drawn(rows[3:], ["base"]), ["sure"]).layout.title.text == "Detection rises under: sure"


def page(step: str, recall: float, beyond: float | None, made_up: tuple[float, float] = (0.9, 0.9)) -> dict:
    """A checkpoint, with a group of facts never read, one read 4 times by the end and one read 40 times."""
    exposed = [{"exposure": e, "made_up": m, "n": 9} for e, m in zip((0.0, 4.0, 40.0), (1.0, *made_up), strict=True)]
    anew = beyond and {"n": 3, "shared": 0, "beyond": estimate(beyond, 0.05)}
    return {"model": step, "recall": recall, "anew": anew, "exposed": exposed}


def test_the_figure_of_widths_names_the_first_checkpoint_that_stands_out():
    early = [page("step-0500", 0.1, 0.1), page("base", 0.4, 0.2)]
    late = [page("step-0500", 0.1, 0.04), page("base", 0.4, 0.2)]
    never = [page("step-0500", 0.1, None), page("base", 0.4, 0.03)]
    rows = [{"width": w, "seed": 1, "when": {"pages": p}} for w, p in ((32, late), (96, early))]
    figure = plots.with_width(rows)
    assert "width 32: base; width 96: 500" in figure.layout.title.subtitle.text.replace("<br>", " ")
    assert figure.layout.title.text == "The wider the model, the earlier H-Neurons can be found"
    assert [list(trace.y) for trace in figure.data] == [[0.1, 0.4], [0.04, 0.2], [0.1, 0.4], [0.1, 0.2]]
    rows[0]["when"]["pages"], rows[1]["when"]["pages"] = early, never
    figure = plots.with_width(rows)
    assert "width 96: none" in figure.layout.title.subtitle.text
    assert figure.layout.title.text == "Wider models do not all have H-Neurons earlier"


def test_a_line_a_checkpoint_in_the_mean_of_the_seeds():
    one = [page("step-0500", 0, None, (0.9, 0.8)), page("base", 0, None, (0.7, 0.1))]
    other = [page("step-0500", 0, None, (1.0, 0.8)), page("base", 0, None, (0.7, 0.3))]
    figure = plots.made_up_by_exposure([{"when": {"pages": pages}} for pages in (one, other)])
    early, late = figure.data
    assert (list(early.x), list(early.y)) == ([4.0, 40.0], pytest.approx([0.95, 0.8]))  # never stated: no place
    assert (list(late.x), list(late.y)) == ([4.0, 40.0], pytest.approx([0.7, 0.2]))
    assert figure.layout.title.text == "Facts that are read more often are made up less"


def test_a_row_a_checkpoint_tells_what_is_there_and_leaves_out_what_is_not():
    moments = [page("step-0500", 0.1, None), page("familiar/base", 0.4, 0.2)]
    more = {"beyond": None, "confidence": estimate(0.9), "loud": 3.14}
    when = {"pages": [{**moment, **more} for moment in moments], "tuning": []}
    table = along([{"seed": 2, "when": when}])
    assert table.index.tolist() == [(2, "step-0500"), (2, "base")]
    assert table["found anew, beyond random"].tolist() == ["", "0.20 [0.15, 0.25]"]
    assert table["found anew"].tolist() == ["", "3"]
    assert table.iloc[0].tolist()[:2] == ["0.10", ""]
    assert table["loudness of the final ones"].tolist() == ["3.1", "3.1"]
