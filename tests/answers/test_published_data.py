"""Our judge and our spans against what others published: judged responses, marked answers, and known faults."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import SHARED

from hn_utils.__main__ import main
from hn_utils.answers.spans import A_FEW, answer_positions, find_phrase, first_sentence
from hn_utils.questions.items import Item
from hn_utils.stats.bootstrap import bootstrap
from hn_utils.stats.metrics import mean
from hn_utils.steering.curves import DoseResponse
from hn_utils.steering.slopes import CONTROL_ALPHAS, slopes
from hn_utils.steering.verdicts import verdicts

DATA = SHARED / "data"
JUDGED = DATA / "systemicvoid_gemma3_4b_triviaqa/data/gemma3_4b/pipeline"
RELEASED = DATA / "thunlp_hneurons/data/examples"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data, which is not shipped")


def rows(path) -> dict[str, dict]:
    with path.open() as file:
        return {name: row for line in file for name, row in json.loads(line).items()}


def kappa(table: Counter) -> float:
    """Cohen's kappa of a table {(theirs, ours): count} of truth values, by its textbook formula."""
    n = table.total()
    agreed = (table[True, True] + table[False, False]) / n
    theirs = (table[True, True] + table[True, False]) / n
    ours = (table[True, True] + table[False, True]) / n
    expected = theirs * ours + (1 - theirs) * (1 - ours)
    return (agreed - expected) / (1 - expected)


class Pieces:
    """Stands in for a tokenizer: ids are places in the published list of pieces, decoded as their tokenizer does."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces, self.tokenizer, self.stop_ids = pieces, SimpleNamespace(all_special_ids=[]), set()
        letters = [*range(33, 127), *range(161, 173), *range(174, 256)]
        self.byte = {chr(b): b for b in letters}
        self.byte |= {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in letters)}

    def decode(self, ids) -> str:
        chosen = [self.pieces[i] for i in ids]
        if any("▁" in p or p.startswith("<0x") for p in self.pieces):  # sentencepiece
            raw = b"".join(
                bytes([int(p[3:5], 16)]) if p.startswith("<0x") else p.replace("▁", " ").encode() for p in chosen
            )
            return raw.decode(errors="replace")
        if all(c in self.byte for p in chosen for c in p):  # byte-level BPE, whose table maps bytes to letters
            return bytes(self.byte[c] for p in chosen for c in p).decode(errors="replace")
        return "".join(chosen)


def marked(path):
    """(all pieces, places that the published marker chose, its phrase) of every row that was marked."""
    for name, row in rows(path).items():
        pieces, answer = row["tokenized_response"], row["answer_tokens"]
        if not answer:
            continue
        starts = [i for i in range(len(pieces)) if pieces[i : i + len(answer)] == answer]
        stand_in = Pieces(pieces)
        places = list(range(starts[0], starts[0] + len(answer))) if starts else None
        phrase = stand_in.decode(places).strip() if places else ""
        yield name, stand_in, places, phrase


FILES = [JUDGED / "answer_tokens.jsonl", *sorted(RELEASED.glob("*answer_tokens*.jsonl"))]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_marked_answers_are_found_by_position(path):
    found, whole, n, reasons = 0, 0, 0, Counter()
    for _, pieces, places, phrase in marked(path):
        n += 1
        if places is None:
            reasons["the marked pieces do not stand in a row in the response"] += 1
            continue
        every = range(len(pieces.pieces))
        ours = answer_positions(pieces, every, [phrase])
        if ours == places:
            found += 1
        elif pieces.decode(every).count(phrase) > 1:
            reasons["the phrase stands there twice"] += 1
        else:
            reasons["the marker cut a word or kept a mark"] += 1
        whole += answer_positions(pieces, every) == places
    assert found + reasons.total() == n
    assert found / n >= 0.995, reasons
    assert whole / n >= 0.95  # with the answer-only prompt, the whole response is nearly always what was marked


def test_published_answers_are_short_and_those_of_long_ones_stand_in_the_first_sentence():
    n, inside = 0, 0
    for path in FILES:
        lengths = []
        for _, pieces, places, phrase in marked(path):
            lengths.append(len(pieces.pieces))
            if places and lengths[-1] > A_FEW:
                sentence = first_sentence(pieces.decode(range(lengths[-1])))
                n, inside = n + 1, inside + bool(find_phrase(sentence, [phrase.rstrip(".!?,;:")]))
        assert np.median(lengths) <= 3
        assert np.percentile(lengths, 95) <= A_FEW
    assert n > 500
    assert inside / n > 0.97


def test_the_known_faults_of_the_released_examples(capsys):
    main(["audit", str(RELEASED)])
    report = json.loads(capsys.readouterr().out)
    overlaps = {name: part["shared by train and test"] for name, part in report.items()}
    assert sorted(overlaps.values()) == [0, 86, 107]
    for part in report.values():
        assert part["answers with an apostrophe"] == 0
        assert 0.8 < part["span is the whole response"] < 1
    assert sum(part["rows"] for part in report.values()) == 15_833
    with pytest.raises(SystemExit, match="give the folder of the released examples"):
        main(["audit", str(DATA)])


FALSEQA = DATA / "systemicvoid_falseqa/data/gemma3_4b/intervention/falseqa"


def complied(folder, alphas) -> np.ndarray:
    """Published compliance, [item, alpha]."""
    columns = []
    for alpha in alphas:
        with (folder / f"alpha_{alpha:.1f}.jsonl").open() as file:
            columns.append({row["id"]: bool(row["compliance"]) for row in map(json.loads, file)})
    return np.array([[column[name] for column in columns] for name in columns[0]], dtype=int)


def test_our_slopes_of_the_published_curves_are_the_published_slopes():
    alphas = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    everything = complied(FALSEQA / "experiment", alphas)
    own = bootstrap(mean, slopes(100.0 * everything, alphas))
    # published: +1.62 [0.52, 2.74] points per unit of alpha over seven alphas, 687 items
    assert own.n == 687
    assert own.value == pytest.approx(1.62, abs=0.005)
    assert (own.low, own.high) == pytest.approx((0.52, 2.74), abs=0.12)
    sets = np.array([complied(FALSEQA / f"control/seed_{i}_unconstrained", CONTROL_ALPHAS) for i in range(3)])
    words = np.array(["resisted", "complied"])
    items = [Item(str(i), "false_premise", (), entity=str(i)) for i in range(687)]
    curve = DoseResponse("false_premise", items, np.array(alphas), [], words[everything], words[sets])
    assert curve.slope().value == pytest.approx(1.55, abs=0.005)  # published, over alphas 0, 1 and 3
    published = json.loads((FALSEQA / "control/comparison_summary.json").read_text())["unconstrained_random"][
        "per_seed"
    ]
    theirs = [published[f"seed_{i}_unconstrained"]["slope_per_alpha"] for i in range(3)]
    assert curve.control_slopes() == pytest.approx(theirs, abs=0.006)
    assert curve.slope_beyond_control().low > 0
    assert verdicts({"a": curve})["a"].word == "too few control sets to say"  # three, as published, carry no p-value
