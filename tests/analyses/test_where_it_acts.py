"""Where scaling acts: by hand with Transformers alone, and on models in which it can act in one place only."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from families import make_checkpoint
from transformers import AutoModelForCausalLM

import hn_utils as hn
from hn_utils import analyses
from hn_utils.analyses.where_it_acts import LOUD, PICKED, Variant
from hn_utils.answers.examples import Example
from hn_utils.contributions.cett import Contributions, by_region
from hn_utils.contributions.collected import Collected
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.scaling import UNSCALED, Dose
from hn_utils.questions.items import Item
from hn_utils.questions.made_up_world.asking import items
from hn_utils.questions.question import Question
from hn_utils.report.gallery import caption_of, title_of
from hn_utils.steering.graded import cells_of, log_odds
from hn_utils.steering.other_name import patched_log_odds, shared_ending, with_another_name
from hn_utils.study import Study

D_MLP, N_LAYERS = 56, 3
NEURONS = np.array([3, 41, 60, 150])
ITEM = Item("1", "pressure", ("Where was the otter born?",), "", "Old Essel", "Great Corin Gate", entity="otter")
# The first words are the same, so that what is compared follows a token of the answer.
SAME_FIRST = replace(ITEM, id="2", truth="Old Essel", claim="Old Corin", entity="harp")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_checkpoint("llama", tmp_path_factory.mktemp("where") / "model")


def loaded(folder) -> HookedModel:
    study = Study(name="test", instruct="", base="", questions="published", device="cpu", dtype="float32")
    return HookedModel.load(str(folder), study)


@pytest.fixture(scope="module")
def tiny(folder) -> HookedModel:
    return loaded(folder)


@pytest.fixture(scope="module")
def unattending(folder) -> HookedModel:
    """The same without attention: no token knows of those before it."""
    model = loaded(folder)
    with torch.no_grad():
        for layer in model.model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
    return model


def answers_of(model: HookedModel, n: int = 12) -> Collected:
    """Answers with made-up contributions, for the loudness of neurons and the texts of means."""
    rng = np.random.default_rng(0)
    kept = []
    for i in range(n):
        question = Question(str(i), "?", ("a",), f"e{i}", "standard", ("train", "test")[i % 2])
        ids = rng.integers(20, 90, 5).tolist()
        kept.append(Example(question, ids[:3], ids[3:], "a", i // 2 % 2, [3], -1.0))
    values = rng.lognormal(0, 0.5, (n, 4, N_LAYERS * D_MLP)).astype(np.float16)
    read = Contributions(by_region([values]), N_LAYERS, D_MLP)
    return Collected(model, model.study, [e.question for e in kept], [], kept, read)


def acts(model: HookedModel, some: list[Item], **given) -> analyses.WhereItActs:
    return analyses.where_it_acts(model, NEURONS, some, answers=answers_of(model), n_sets=2, **given)


def change(told: analyses.WhereItActs, name: str) -> np.ndarray:
    (variant,) = (one for one in told.variants if one.name == name)
    return variant.own


@torch.inference_mode()
def odds_by_hand(folder, cell, by: float, at: str, around: np.ndarray | None = None) -> float:
    """Log-odds of one item from whole rows, by Transformers alone; NEURONS are changed at some of the tokens."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    n = cell.n_prompt
    place = {"prompt": slice(0, n), "answer": slice(n, None), "everywhere": slice(None)}[at]
    for layer, block in enumerate(model.model.layers):

        def change(_, given, layer=layer):
            z = given[0].clone()
            for k, flat in enumerate(NEURONS):
                if flat // D_MLP == layer:
                    centre = 0.0 if around is None else float(around[k])
                    z[:, place, flat % D_MLP] = centre + by * (z[:, place, flat % D_MLP] - centre)
            return (z,)

        block.mlp.down_proj.register_forward_pre_hook(change)
    found = []
    for ending in (cell.claim, cell.truth):
        logprobs = model(torch.tensor([cell.shared + ending])).logits[0].log_softmax(-1)
        found.append(sum(float(logprobs[len(cell.shared) - 1 + i, token]) for i, token in enumerate(ending)))
    return found[0] - found[1]


def test_every_dose_is_what_whole_rows_give_without_a_cache(folder, tiny):
    told = acts(tiny, [ITEM, SAME_FIRST], alpha=3.0)
    cells = cells_of(tiny, [ITEM, SAME_FIRST], tiny.study)
    train = answers_of(tiny)
    rows = [train.kept[i].ids for i in train.training_rows()]
    means = hn_means(folder, rows)
    for place, cell in cells.items():
        plain = odds_by_hand(folder, cell, 1.0, "everywhere")
        for at, name in (("everywhere", "everywhere"), ("prompt", "at the prompt"), ("answer", "at the answer")):
            by_hand = odds_by_hand(folder, cell, 3.0, at) - plain
            assert change(told, f"× 3 {name}")[place] == pytest.approx(by_hand, abs=3e-3)
        zero = odds_by_hand(folder, cell, 0.0, "everywhere") - plain
        mean = odds_by_hand(folder, cell, 0.0, "everywhere", means) - plain
        assert change(told, "ablated to 0")[place] == pytest.approx(zero, abs=3e-3)
        assert change(told, "ablated to their mean")[place] == pytest.approx(mean, abs=3e-3)
        assert abs(zero - mean) > 0.01


@torch.inference_mode()
def hn_means(folder, rows: list[list[int]]) -> np.ndarray:
    """Mean activations of NEURONS over all tokens but each row's first, by Transformers alone."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    seen: dict[int, list[torch.Tensor]] = {layer: [] for layer in range(N_LAYERS)}
    for layer, block in enumerate(model.model.layers):
        block.mlp.down_proj.register_forward_pre_hook(lambda _, given, layer=layer: seen[layer].append(given[0][0, 1:]))
    for row in rows:
        model(torch.tensor([row]))
    return np.array([float(torch.cat(seen[flat // D_MLP])[:, flat % D_MLP].mean()) for flat in NEURONS])


def test_one_layer_at_a_time_is_that_layer_s_neurons_beside_random_ones_of_it(tiny):
    told = acts(tiny, [ITEM])
    plain = log_odds(tiny, [ITEM], [UNSCALED], tiny.study)
    for layer in (0, 1, 2):
        (variant,) = (one for one in told.variants if one.name == f"× 3 in layer {layer} alone")
        mine = NEURONS[layer == NEURONS // D_MLP]
        assert variant.own == pytest.approx(
            (log_odds(tiny, [ITEM], [Dose(mine, 3.0)], tiny.study) - plain)[:, 0], abs=1e-3
        )
        assert list(variant.controls) == [LOUD]
    assert len(told.variants) == 3 + 3 + 2  # one item has no other name to take


def test_without_attention_the_prompt_moves_nothing_behind_the_first_token(unattending):
    """Truth and claim share their first token, so that all that is compared is predicted from tokens of the answer."""
    told = acts(unattending, [SAME_FIRST])
    assert change(told, "× 3 at the prompt") == pytest.approx([0], abs=1e-4)
    assert change(told, "× 3 at the answer") == pytest.approx(change(told, "× 3 everywhere"), abs=1e-3)
    assert abs(change(told, "× 3 everywhere")[0]) > 0.01
    assert told.table.loc["× 3 at the prompt", "items that move"] == 0
    assert told.table.loc["× 3 at the answer", "items that move"] == 1


def test_at_the_answer_nothing_moves_where_a_single_token_is_compared(tiny):
    told = acts(tiny, [replace(ITEM, truth="Essel", claim="Corin")])
    (cell,) = cells_of(tiny, [replace(ITEM, truth="Essel", claim="Corin")], tiny.study).values()
    assert (len(cell.claim), len(cell.truth), len(cell.shared)) == (1, 1, cell.n_prompt)
    assert told.table.loc["× 3 at the answer", "items that move"] == 0
    assert change(told, "× 3 at the prompt") == pytest.approx(change(told, "× 3 everywhere"), abs=1e-3)


# --- another name ----------------------------------------------------------------------------------------------------


def test_another_name_takes_the_own_one_s_place_in_all_that_is_said():
    one = Item("1", "p", ("Who is Ada?", "No, Ada is a cook."), "Ada?", "x", "y", entity="Ada")
    two = replace(one, id="2", turns=("Who is Bo?",), entity="Bo")
    unnamed = replace(one, id="3", turns=("Who is Ada?", "Are you sure?"))
    alone = replace(one, id="4", behaviour="q")
    first, second, third, fourth = with_another_name([one, two, unnamed, alone], seed=0)
    assert first == replace(one, turns=("Who is Bo?", "No, Bo is a cook."), question="Bo?")
    assert second.turns == ("Who is Ada?",)
    assert (third, fourth) == (None, None)
    assert shared_ending([1, 2, 3], [9, 2, 3]) == 2
    assert shared_ending([2, 3], [1, 2, 3]) == 2
    assert shared_ending([1, 2], [1, 3]) == 0


def test_what_is_patched_from_the_own_prompt_changes_nothing_and_from_another_s_something(tiny):
    some = [replace(ITEM, turns=("What did the golden harp say?",)), SAME_FIRST]
    plain = log_odds(tiny, some, [UNSCALED], tiny.study)
    sets = [NEURONS, np.arange(N_LAYERS * D_MLP)]
    own = patched_log_odds(tiny, some, some, sets, tiny.study)
    assert own == pytest.approx(np.repeat(plain, 2, axis=1), abs=1e-3)
    swapped = patched_log_odds(tiny, some, some[::-1], sets, tiny.study)
    assert np.abs(swapped[:, 1] - plain[:, 0]).min() > 0.01
    with pytest.raises(ValueError, match="1 of 2 items have no truth or no claim: leave them out"):
        patched_log_odds(tiny, [ITEM, replace(ITEM, claim=None)], [ITEM, ITEM], sets, tiny.study)


# --- beside its controls ---------------------------------------------------------------------------------------------


def test_what_was_found_stands_beside_what_shuffled_labels_pick(subject, study):
    found = hn.find(hn.collect(subject, n_questions=150, sampling={"n": 2}), n_grid=6)
    by_person = {item.entity: item for item in items(study) if item.behaviour == "misleading_context"}
    some = list(by_person.values())[:5]
    told = analyses.where_it_acts(subject, found, some, n_sets=2, alpha=2.0)
    names = [variant.name for variant in told.variants]
    assert names[:3] == ["× 2 everywhere", "× 2 at the prompt", "× 2 at the answer"]
    assert names[-3:] == ["ablated to 0", "ablated to their mean", "as with another name"]
    for variant in told.variants:
        assert list(variant.controls) == ([LOUD] if "layer" in variant.name else [PICKED, LOUD])
        assert {values.shape for values in variant.controls.values()} == {(5, 2)}
    assert told.headline.startswith(
        f"{len(found.neurons)} neurons of organism/instruct, log-odds of claim against truth"
    )
    assert told.table["items"].tolist() == [5] * len(names)
    numbers = told.numbers
    assert numbers["change"].tolist() == pytest.approx([variant.own.mean() for variant in told.variants])
    assert numbers[f"beyond {PICKED}"].isna().tolist() == ["layer" in name for name in names]
    figure = told.plot()
    assert title_of(figure).endswith(f" of {len(names)} ways move the claim beyond their controls")
    assert "n = 5 items" in caption_of(figure)


def test_the_page_s_lines_run_as_they_are_written():
    page = (Path(__file__).resolve().parents[2] / "docs" / "what_a_neuron_does.md").read_text(encoding="utf-8")
    left: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        exec(block, left)
    assert left["one"].found_in == {"these answers": True, "by hand": True}
    assert left["acts"].table["items"].tolist() == [2] * len(left["acts"].variants)


def test_beyond_is_the_mean_less_that_of_the_sets():
    sets = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])
    variant = Variant("x", np.array([3.0, 3.0, 6.0]), {LOUD: sets}, {LOUD: 1.0}, np.array(["a", "b", "c"]))
    assert variant.change.value == 4
    assert variant.beyond(LOUD).value == pytest.approx(4 - 1.5)
    assert variant.n_moved == 3
    still = replace(variant, own=np.array([0.0, 5e-4, 0.0]), controls={LOUD: np.array([[0.0], [0.0], [2.0]])})
    assert still.n_moved == 1


def test_bad_input_is_named(tiny):
    with pytest.raises(ValueError, match="none of 1 items has both a truth and a claim"):
        acts(tiny, [replace(ITEM, claim=None)])
    for alpha in (1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="must be finite, not negative and not 1, which changes nothing"):
            acts(tiny, [ITEM], alpha=alpha)
    with pytest.raises(ValueError, match="n_sets=1 must be at least 2: one control set has no spread"):
        analyses.where_it_acts(tiny, NEURONS, [ITEM], answers=answers_of(tiny), n_sets=1)
    with pytest.raises(ValueError, match="answers is missing: without what hn.find returns, give answers="):
        analyses.where_it_acts(tiny, NEURONS, [ITEM])
