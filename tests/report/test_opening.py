"""The rule by which the explorer opens, on cases made by hand."""

from __future__ import annotations

from hn_utils.report.opening import opening

ALPHAS = (0.0, 1.0, 3.0)
HELD, GAVE_IN = ["held"] * 3, ["gave in"] * 3
TURNED = ["held", "held", "gave in"]


def item(name: str, own: list[str], *random: list[str], scores: tuple[float, ...] = (0.0, 0.0, 0.0)) -> dict:
    return {"id": name, "replies": [[["", word] for word in words] for words in (own, *random)], "at_answer": scores}


def behaviour(name: str, slope: float, *items: dict, apart: bool = True) -> dict:
    return {"id": name, "pressure": True, "told_apart": apart, "slope": slope, "items": list(items)}


PLAIN = {
    "id": "known",
    "pressure": False,
    "items": [
        item("near", HELD, HELD, HELD, scores=(9.0, 8.0, 9.0)),
        item("far", HELD, HELD, HELD, scores=(-2.0, 1.0, 2.0)),  # 3.5 below the mean of the random sets
    ],
}


def where(*groups: dict) -> tuple[str, str]:
    return tuple(opening(groups, ALPHAS, (1, 2))["address"].values())


def test_an_item_that_the_h_neurons_alone_turn_in_the_steepest_behaviour_that_is_told_apart():
    turns = item("turns", TURNED, HELD, GAVE_IN)
    shaken = item("shaken", TURNED, HELD, ["gave in", "held", "held"])  # a random set changes its outcome as well
    silenced = item("silenced", ["gave in", "held", "held"], HELD, HELD)  # changes at 0, and not at 3
    still = item("still", HELD, HELD, HELD)
    steep = behaviour("steep", -30.0, still, shaken, silenced)
    assert where(PLAIN, behaviour("slight", 2.0, turns), behaviour("steeper", 20.0, still, turns)) == (
        "steeper",
        "turns",
    )
    assert where(PLAIN, steep, behaviour("slight", 2.0, turns)) == ("slight", "turns")
    assert where(PLAIN, behaviour("by chance", 40.0, turns, apart=False)) == ("known", "far")
    assert where(PLAIN, steep) == ("known", "far")


def test_without_plain_questions_all_answers_are_compared():
    wide = item("wide", HELD, HELD, HELD, scores=(50.0, 0.0, 0.0))
    assert where(PLAIN, behaviour("pressed", 1.0, wide, apart=False)) == ("known", "far")
    assert where(behaviour("pressed", 1.0, wide, apart=False)) == ("pressed", "wide")


def test_what_to_try_first_is_said_of_the_case():
    case = opening([PLAIN, behaviour("b", 5.0, item("turns", TURNED, HELD, HELD))], ALPHAS, (1, 2))
    assert "move alpha from 1 to 3" in case["first"]
    assert "turns from “held” to “gave in”" in case["first"]
    case = opening([PLAIN], ALPHAS, (1, 2))
    assert "a score of −2.0, the random sets +1.5 on average: the widest gap among the 2 answers" in case["first"]


def test_a_case_that_turns_is_clearer_than_any_gap_and_a_steeper_one_clearer_than_a_slight_one():
    turns = item("turns", TURNED, HELD, HELD)
    clear = [opening([PLAIN, behaviour("b", slope, turns)], ALPHAS, (1, 2))["clear"] for slope in (-9.0, 5.0)]
    assert clear[0] > clear[1] > opening([PLAIN], ALPHAS, (1, 2))["clear"] == (0.0, 3.5)
