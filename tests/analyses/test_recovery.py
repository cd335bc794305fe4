"""Where it is known which neurons cause it: counts and shares by hand, and the unchanged road on the shipped plants."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import plotly.graph_objects as go
import pytest
from curves import curve
from killing import FEWER, STUDY

import hn_utils as hn
from hn_utils import analyses
from hn_utils.__main__ import main
from hn_utils.analyses import recovery
from hn_utils.contributions.cett import Labelled
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.organism import plant_gates, strengths
from hn_utils.organism.plant import Plant
from hn_utils.report.gallery import Gallery, title_of
from hn_utils.report.plots import styled
from hn_utils.steering.curves import DoseResponse
from hn_utils.study import BUNDLED, planted_study
from hn_utils.study.planted import planted_in

GATES_NOT_MET = {"planted": {"P2", "P4"}, "planted-general": {"P2", "P4"}}  # named in their cards
N_QUESTIONS = 2_000  # as many as the notebooks ask, whose answers need not be drawn again


@pytest.fixture
def planted_folder(tmp_path):
    """Neurons 4 and 7 of two layers of five."""
    rows = [{"layer": 1, "neuron": 2}, {"layer": 0, "neuron": 4}]
    (tmp_path / "plant").mkdir()
    (tmp_path / "plant" / "planted.json").write_text(json.dumps({"d_mlp": 5, "neurons": rows}))
    return tmp_path / "plant"


def stub(study, found: list[int]) -> SimpleNamespace:
    """What the probe found among ten neurons; made-up answers have more of neuron 4 and 7 in all pairs but one."""
    values = np.zeros((4, 10), np.float16)
    values[:, 4] = [3, 1, 2, 0]
    values[:, 7] = [3, 2, 2, 0]
    labels, people = np.array([1, 1, 0, 0]), np.array(["a", "b", "c", "d"])
    collected = SimpleNamespace(
        test_rows=lambda _: np.arange(4), labelled=lambda rows, _: Labelled(TallMatrix([values]), labels, people)
    )
    card = SimpleNamespace(shape=(2, 5))
    subject = SimpleNamespace(name=study.instruct)
    return SimpleNamespace(
        study=study, collected=collected, neurons=np.array(found), card=card, subject=subject, magnitude=np.ones(10)
    )


def test_precision_recall_and_chance_by_hand(planted_folder):
    recovered = analyses.recover(stub(planted_study(planted_folder), [7, 1, 3]))
    assert recovered.planted.tolist() == [7, 4]
    assert (recovered.precision, recovered.recall) == (1 / 3, 1 / 2)
    assert recovered.by_chance == pytest.approx(3 * 2 / 10)
    assert recovered.auroc.value == 3 / 4  # of the four pairs, 1.5 against 2 is the wrong way round
    assert "1 of 2 planted neurons are among the 3 H-Neurons (by chance 0.60)" in str(recovered)
    with pytest.raises(ValueError, match="nothing is planted in .*: only a planted model's neurons can be recovered"):
        analyses.recover(stub(BUNDLED, [7]))


def test_what_the_found_neurons_carry_by_hand(planted_folder, monkeypatch):
    """The planted neurons move every other item, the found ones a third of these; random sets as loud none."""
    still = np.zeros((20, 12, 3), int)
    whole, part = np.zeros((12, 3), int), np.zeros((12, 3), int)
    whole[::2, 2], part[::6, 2] = 1, 1
    found = stub(planted_study(planted_folder), [7])
    scaled = []

    def curves_of(_, items, neurons, study, loud):
        controls = loud.draw(0, loud.n)
        scaled.append((neurons.tolist(), len(items), len(controls)))
        assert not {4, 7} & set(np.concatenate([control.neurons for control in controls]).tolist())
        assert all(control.loudness == 1 for control in controls)
        return {"false_premise": beside(whole)}

    def beside(own: np.ndarray) -> DoseResponse:
        """A curve that only random neurons as loud leave alone: all that shuffled labels pick moves as much."""
        return replace(curve(own, np.stack([own] * 20)), loud=curve(own, still))

    monkeypatch.setattr(recovery, "curves_of", curves_of)
    carried = analyses.carried(found, SimpleNamespace(behaviours={"false_premise": beside(part)}))
    assert scaled == [([7, 4], 12, 20)]  # as many sets as are needed for an interval, though the study has more
    assert carried.share["false_premise"].value == pytest.approx(1 / 3)
    assert 0 <= carried.share["false_premise"].low <= 1 / 3 <= carried.share["false_premise"].high <= 1
    slope, share = carried.curves["false_premise"].slope_beyond_control(), carried.share["false_premise"]
    assert slope.value == pytest.approx(50 * 5 / 14)  # half the items at alpha 3 alone
    told = f"False premise: the planted neurons {slope} points per alpha beyond random neurons as loud"
    assert str(carried) == f"{told}; the found ones do {share} of it"
    nothing = replace(carried, curves={"false_premise": curve(0 * whole, still)})
    assert str(nothing).endswith(
        "[0.00, 0.00] points per alpha beyond random neurons as loud; nothing to have a share of"
    )
    with pytest.raises(ValueError, match="false_premise has no random sets beside it: draw its curve with `loud`"):
        analyses.carried(found, SimpleNamespace(behaviours={"false_premise": curve(part, still)}))


def test_every_figure_of_a_planted_model_says_so(planted_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HN_RUNS", str(tmp_path / "runs"))
    figure = styled(go.Figure(go.Scatter(x=[1], y=[1])), "A finding", "n = 1")
    natural = replace(BUNDLED, name="natural")
    for study, about, said in (
        (planted_study(planted_folder), None, True),
        (natural, planted_study(planted_folder), True),
        (natural, None, False),
    ):
        gallery = Gallery(study, "02_probe")
        shown = gallery.publish(figure, "f", about)
        assert title_of(shown.figure) == "Planted model. A finding" if said else "A finding"
        assert ("Planted model." in (gallery.folder / "html" / "f.html").read_text()) == said
        assert ("Planted model." in gallery.build_index().read_text()) == said
    assert title_of(figure) == "A finding"  # the figure itself is as it was


@pytest.mark.slow
def test_a_run_sets_the_planted_neurons_beside_the_found_ones_once(tmp_path, monkeypatch, capsys):
    recovered, recover = [], analyses.recover
    monkeypatch.setattr(analyses, "recover", lambda found: recovered.append(recover(found)) or recovered[-1])
    for module in [module for name, module in sys.modules.items() if name.startswith("hn_utils")]:
        for constant in FEWER.keys() & vars(module).keys():
            monkeypatch.setattr(module, constant, FEWER[constant])
    (tmp_path / "tiny.json").write_text(json.dumps({**STUDY, "like": "planted", "n_questions": 200}))
    main(["run", "--study", str(tmp_path / "tiny.json"), "--out", str(tmp_path / "out")])
    assert len(recovered) == 1
    assert f"planted: {recovered[0]}" in capsys.readouterr().out
    told = json.loads((tmp_path / "out" / "summary.json").read_text())["recovery"]
    assert told["auroc"] == asdict(recovered[0].auroc)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["planted", "planted-general"])
def test_shipped_plants_do_what_their_cards_say(name, monkeypatch):
    monkeypatch.setattr(plant_gates, "N_QUESTIONS", N_QUESTIONS)
    monkeypatch.setattr(plant_gates, "N_ITEMS", 40)
    monkeypatch.setattr(plant_gates, "N_SETS", 4)
    folder = hn.load_study(name).instruct.removesuffix("/instruct")
    gates = plant_gates.measure(Path(folder))
    assert {gate.name.split()[0] for gate in gates if not gate.met} == GATES_NOT_MET[name]


@pytest.mark.slow
def test_the_road_finds_what_is_planted_and_nothing_where_it_does_not_detect():
    """The paper's assumption holds in one and not in the other: the first's H-Neurons are planted, the second's not."""
    for name, at_least, at_most in (("planted", 0.8, 1.0), ("planted-general", 0.0, 0.2)):
        recovered = analyses.recover(hn.find(hn.collect(hn.load(name), n_questions=N_QUESTIONS)))
        assert at_least <= recovered.precision <= at_most
    assert set(strengths.shipped()["strength"]) == {0.0, 0.25, 0.5, 1.0}
    assert strengths.shipped("general")["n_both"].tolist() == [0]


@pytest.mark.parametrize("name", ["planted", "planted-general"])
def test_the_planted_neurons_are_those_that_the_recipe_draws(name):
    study = hn.load_study(name)
    said = json.loads((Path(study.instruct).parent / "planted.json").read_text())
    plant = Plant(**{field: said[field] for field in ("kind", "strength", "seed", "n_neurons")})
    drawn = [layer * 768 + j for layer, places in plant.neurons(768).items() for j in places]
    assert planted_in(study).tolist() == drawn
    assert (said["strength"], list(plant.layers)) == (1.0, said["layers"])
