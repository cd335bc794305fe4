"""Bad input ends before any long work, in one sentence that names what is wrong, its value and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hn_utils as hn
from hn_utils.__main__ import main
from hn_utils.answers.chat_model import ChatModel
from hn_utils.answers.examples import Example
from hn_utils.answers.judges import chat_verdicts, judge
from hn_utils.answers.server import address_of
from hn_utils.contributions.cett import capture, token_contributions
from hn_utils.contributions.tall_matrix import TallMatrix
from hn_utils.models.generation import generate
from hn_utils.models.hooked_model import HookedModel
from hn_utils.models.likelihoods import token_logprobs
from hn_utils.models.scaling import UNSCALED, dosed
from hn_utils.models.weightless import WeightlessModel
from hn_utils.origins.transfer import drift
from hn_utils.probing.l1_path import c_grid, l1_path
from hn_utils.probing.probe import HNeurons, refit
from hn_utils.questions.items import Item
from hn_utils.questions.published.pressing import read_items
from hn_utils.questions.published.sources import read_rows
from hn_utils.questions.question import Question, check_ids
from hn_utils.questions.question_sets import load_questions
from hn_utils.stats.bootstrap import bootstrap
from hn_utils.stats.metrics import accuracy, auroc, average_precision, mean
from hn_utils.stats.neuron_sets import Match, random_sets
from hn_utils.steering.replies import replies_at, text_loss
from hn_utils.storage.cache import cached
from hn_utils.study import Sampling, Study, load_study


@dataclass(frozen=True)
class Place:
    """What the cases work with."""

    study: Study
    subject: HookedModel
    folder: Path

    def file(self, content: str | bytes, name: str = "it.json") -> str:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def changed(self, **settings: Any) -> Study:
        return replace(self.study, **settings)

    def rows(self, content: str | bytes, name: str = "rows.jsonl", of: str = "triviaqa") -> list[Question]:
        """Published questions from a file of this content."""
        given = {of: self.file(content, name)}
        return load_questions(self.changed(questions="published", sets=(of,), sources=given))

    def pressed(self, content: str, of: str) -> list[Item]:
        study = self.changed(questions="published", sources={of: self.file(content, "rows.jsonl")})
        return read_items(of, study)


ROW = {
    "question": "Who?", "question_id": "1", "id": 1, "answer": {"value": "x", "aliases": [], "normalized_aliases": []},
    "possible_answers": '["x"]', "subj": "s", "s_pop": 3, "prop": "p", "body": "Q", "type": "factoid",
    "exact_answer": [["x"]], "text": "<answer> x <context>",
}  # fmt: skip
X = TallMatrix([np.random.default_rng(0).random((8, 5)).astype(np.float16)])
HALF = np.array([0, 1] * 4)
ASKED = Question("q1", "Who?", ("a",), "someone")


def spoilt(value: float) -> TallMatrix:
    values = np.random.default_rng(0).random((8, 5)).astype(np.float16)
    values[2, 3] = value
    return TallMatrix([values])


def example(answer: list[int], label: int | None = 1) -> Example:
    return Example(ASKED, [1, 9, 12], [5, 2], "", label, answer, 0.0)


def item(**changes: Any) -> Item:
    return replace(Item("1", "recall", ("Where was Kriskel Govstad born?",)), **changes)


def card(place: Place, **changes: Any) -> HNeurons:
    whole = HNeurons("m", "f", "s", "answer", 1.0, 0.0, 4, 2, [{"layer": 1, "neuron": 2, "weight": 1.0}])
    content = {**json.loads(json.dumps(vars(whole))), **changes}
    return HNeurons.load(Path(place.file(json.dumps(content))))


CASES: dict[str, tuple[Callable[[Place], Any], str]] = {
    # settings of a study
    "study of no name": (
        lambda p: load_study("gpt-9"),
        r"unknown study 'gpt-9': choose one of organism, .*\.json file",
    ),
    "unknown setting": (
        lambda p: load_study("organism", colour="red"),
        "unknown setting .colour.: choose of name, instruct",
    ),
    "name that leaves its folder": (lambda p: p.changed(name="../up"), r"name='\.\./up' must be a plain file name"),
    "name of nothing": (lambda p: p.changed(name=""), "name='' must be a plain file name"),
    "seed as a word": (lambda p: p.changed(seed="two"), "seed='two' must be of type int"),
    "seed below zero": (lambda p: p.changed(seed=-1), "seed=-1 must be at least 0"),
    "no questions": (lambda p: p.changed(n_questions=0), "n_questions=0 must be at least 1"),
    "grid of one": (lambda p: p.changed(n_grid=1), "n_grid=1 must be at least 2"),
    "no random sets": (lambda p: p.changed(n_control_sets=0), "n_control_sets=0 must be at least 1"),
    "no items": (lambda p: p.changed(n_items=0), "n_items=0 must be at least 1"),
    "no rows in a batch": (lambda p: p.changed(batch_rows=0), "batch_rows=0 must be at least 1"),
    "alphas without 1": (lambda p: p.changed(alphas=(0.0, 3.0)), r"alphas=.* must include \[1\.0\]"),
    "alpha below zero": (lambda p: p.changed(alphas=(-1.0, 0.0, 1.0, 3.0)), "alphas=.*-1.0.* must be finite and not"),
    "alpha that is NaN": (lambda p: p.changed(alphas=(0.0, 1.0, 3.0, np.nan)), "alphas=.*nan.* must be finite and not"),
    "alpha without end": (lambda p: p.changed(alphas=(0.0, 1.0, 3.0, np.inf)), "alphas=.*inf.* must be finite and not"),
    "prompt without question": (
        lambda p: p.changed(chat_prompt="Answer."),
        r"chat_prompt='Answer\.' must hold {question}",
    ),
    "prompt with another brace": (lambda p: p.changed(chat_prompt="{question} {x}"), "chat_prompt=.* no other brace"),
    "prompt with half a brace": (lambda p: p.changed(base_prompt="{question} {"), "base_prompt=.* no other brace"),
    "prompt that looks inside": (lambda p: p.changed(chat_prompt="{question.__class__}"), "must hold {question}"),
    "stop that is everywhere": (lambda p: p.changed(base_stop=""), "base_stop='' would end every answer"),
    "no draws": (lambda p: Sampling(n=0), "n=0 must be at least 1"),
    "cold below zero": (lambda p: Sampling(temperature=-0.1), "temperature=-0.1 must be at least 0"),
    "temperature that is NaN": (lambda p: Sampling(temperature=np.nan), "temperature=nan must be at least 0"),
    "top-p of nothing": (lambda p: Sampling(top_p=0.0), "top_p=0.0 must be above 0 and at most 1"),
    "top-p of too much": (lambda p: Sampling(top_p=1.1), "top_p=1.1 must be above 0 and at most 1"),
    "top-k below zero": (lambda p: Sampling(top_k=-1), "top_k=-1 must be at least 0"),
    "no tokens": (lambda p: Sampling(max_new_tokens=0), "max_new_tokens=0 must be at least 1"),
    "judge without scheme": (
        lambda p: p.changed(judge_url="here:80/v1"),
        r"judge_url: a server's address must read http",
    ),
    "server with a password": (lambda p: p.changed(served_at="http://me:pw@x/v1"), r"served_at: .* without password"),
    "judged set, no judge": (lambda p: p.changed(sets=("falseqa",)), "falseqa needs a chat model: set judge"),
    "source that is not there": (
        lambda p: p.changed(sources={"popqa": "/no/p.csv"}),
        r"sources\['popqa'\]='/no/p\.csv' does not",
    ),
    "unknown question set": (
        lambda p: load_questions(p.changed(questions="quiz")),
        "unknown question set 'quiz': choose",
    ),
    # study files
    "study file that is none": (lambda p: load_study("/no/where.json"), "could not read the study /no/where.json"),
    "study file of bytes": (lambda p: load_study(p.file(b"\xff\xfe\x00")), "could not read the study .*it.json"),
    "study file of nothing": (lambda p: load_study(p.file("")), "could not read the study .*it.json"),
    "study file that nests": (lambda p: load_study(p.file("[" * 100_000)), "could not read the study .*it.json"),
    "study file of a list": (lambda p: load_study(p.file("[1]")), "it.json must hold settings by name"),
    "study like nothing": (lambda p: load_study(p.file('{"like": "x"}')), "like='x' must name a preset"),
    "study with NaN": (lambda p: load_study(p.file('{"seed": NaN}')), "seed=nan must be of type int"),
    # models
    "model that is not there": (
        lambda p: HookedModel.load("/no/model", p.study),
        "no folder /no/model: check the path, or give a hub name",
    ),
    "folder without a model": (
        lambda p: HookedModel.load(str(p.folder), p.study),
        "no model in folder .*: it holds no config.json; give the folder that save_pretrained wrote",
    ),
    "plan of a folder that is not there": (
        lambda p: WeightlessModel("/no/model", p.study),
        "no folder /no/model: check the path",
    ),
    "question set of the bundled model": (
        lambda p: load_questions(p.changed(instruct=str(p.folder / "instruct"))),
        "facts.parquet is missing: the question set 'organism' belongs to the bundled model .* questions of your own",
    ),
    # the front door, given the wrong thing
    "model loaded twice": (lambda p: hn.load(p.subject), "which is of type HookedModel: give a preset, a hub name"),
    "wrapping a name": (
        lambda p: hn.wrap("gpt2", None),
        "model is of type str: give a model of Transformers in memory",
    ),
    "plan of a name": (lambda p: hn.plan("organism"), "study is of type str: give what hn.load_study returns"),
    "collect, swapped": (lambda p: hn.collect([{}], p.subject), "model is of type list: give a model from hn.load or"),
    "collect of a file's name": (
        lambda p: hn.collect(p.subject, "my.jsonl"),
        "questions is of type str: give a list of dicts, or a DataFrame, with a question and its answers",
    ),
    "find of a model": (lambda p: hn.find(p.subject), "answers is of type HookedModel: give what hn.collect returns"),
    "dose-response of a name": (
        lambda p: hn.dose_response("organism", None),
        "model is of type str: give a model from hn.load or hn.wrap",
    ),
    "dose-response of a card": (
        lambda p: hn.dose_response(p.subject, card(p)),
        "the card holds H-Neurons of m in unknown precision .fingerprint f., not of",
    ),
    "look back from a card": (
        lambda p: hn.look_back(card(p), base="x"),
        "answers is missing: give what hn.find returns, or with other neurons answers=",
    ),
    "answers that are not there": (
        lambda p: hn.Collected.load("/no/answers.parquet", p.subject),
        "could not read the answers /no/answers.parquet .*: give the file that Collected.save wrote",
    ),
    "answers that are none": (
        lambda p: hn.Collected.load(p.file("no table"), p.subject),
        "could not read the answers .*it.json .*: give the file that Collected.save wrote",
    ),
    "answers, swapped": (
        lambda p: hn.Collected.load(p.subject, "x"),
        "model is of type str: give a model from hn.load",
    ),
    "card to be scaled": (
        lambda p: p.subject.scaled(card(p), 3),
        "the card holds H-Neurons of m in unknown precision .fingerprint f., not of .* find its own",
    ),
    "neurons as a word": (lambda p: p.subject.scaled("all", 3), "neurons is of type str: give a card, what hn.find"),
    "neuron of no layer": (
        lambda p: p.subject.scaled([(0, 1), (6, 1)], 3),
        "neuron 1 of layer 6 is out of range: .* has 6 layers of 768, each numbered from 0",
    ),
    "neurons of several kinds": (lambda p: p.subject.scaled([1, (2, 3)], 3), "neurons is of type list: give a card"),
    "pair of one half": (lambda p: p.subject.scaled([(0, 0.5)], 3), "must be pairs of whole numbers"),
    "neuron named twice": (lambda p: p.subject.scaled([4, 4], 3), "neurons name neuron 4 twice: name each once"),
    "unknown dtype": (
        lambda p: HookedModel.load(p.study.base, p.changed(dtype="float99")),
        "dtype='float99' is not a torch",
    ),
    "unknown bits": (lambda p: HookedModel.load(p.study.base, p.changed(bits=3)), "bits=3 must be 4, 8 or None"),
    "unknown device": (
        lambda p: HookedModel.load(p.study.base, p.changed(device="tpu")),
        "device='tpu' is not on this mach",
    ),
    "no prompts": (lambda p: generate(p.subject, [], Sampling(n=1)), "rows must hold token ids"),
    "token of another model": (
        lambda p: token_logprobs(p.subject, [[1, 10**6]]),
        r"rows must hold token ids from 0 to .*1000000",
    ),
    "token below zero": (lambda p: token_logprobs(p.subject, [[1, -3]]), r"rows must hold token ids from 0 to .*-3"),
    # questions and their files
    "answer as one text": (lambda p: judge("Rome", "Paris"), "aliases='Paris' is one text: give a list"),
    "question twice": (lambda p: check_ids([ASKED, ASKED]), "1 ids stand for several questions, such as 'q1'"),
    "aliases as one text": (
        lambda p: check_ids([replace(ASKED, aliases="a")]),
        "question 'q1': aliases='a' must be of",
    ),
    "unknown set": (
        lambda p: load_questions(p.changed(questions="published", sets=("trivia",))),
        "unknown set 'trivia'",
    ),
    "no set": (lambda p: load_questions(p.changed(questions="published", sets=())), r"sets=\(\) names no question set"),
    "rows that are numbers": (lambda p: p.rows("1\n2\n"), "triviaqa must be a list of rows, each with named columns"),
    "rows of half a line": (lambda p: p.rows('{"question": "'), "could not read .*rows.jsonl"),
    "rows of nothing": (lambda p: p.rows(""), "triviaqa has no rows: give your own copy"),
    "rows with a hole": (lambda p: p.rows('{"question_id": "1"}'), "triviaqa, row 0 lacks question, answer: give rows"),
    "rows that lack most": (
        lambda p: p.rows('{"id": 1, "question": "Q?"}', of="popqa"),
        "popqa, row 0 lacks possible_answers, subj, prop, s_pop: give rows with the columns id, question, possible_ans"
        "wers, subj, prop, s_pop, as its authors released them; this one has id, question$",
    ),
    "question of no text": (
        lambda p: p.rows('{"question": 3, "answer": ["x"]}', of="nq_open"),
        "nq_open, row 0 is not in the published format",
    ),
    "views of no number": (
        lambda p: p.rows(
            '{"id": 1, "question": "Q?", "possible_answers": ["x"], "subj": "s", "prop": "p", "s_pop": "y"}', of="popqa"
        ),
        "popqa, row 0 is not in the published format .*invalid literal",
    ),
    "table that is none": (lambda p: p.rows(b"PAR1 no PAR1", "rows.parquet"), "could not read .*rows.parquet"),
    "table with a null byte": (lambda p: p.rows(b"a,b\n\x00,\xff\n", "rows.csv"), "could not read .*rows.csv"),
    "pressure without columns": (
        lambda p: p.pressed('{"a": 1}', "falseqa"),
        "falseqa, row 0 lacks question, label: give rows",
    ),
    "pressure of numbers": (
        lambda p: p.pressed('{"label": 1, "question": 5}', "falseqa"),
        "turns=.5,. must be of type",
    ),
    "set that is not public": (
        lambda p: read_rows("forbidden", p.study),
        "forbidden is not public: give your own copy",
    ),
    # contributions
    "nothing to capture": (lambda p: capture(p.subject, [], p.study), "needs examples with a label"),
    "example without label": (
        lambda p: capture(p.subject, [example([3], None)], p.study),
        "needs examples with a label",
    ),
    "answer of no tokens": (lambda p: capture(p.subject, [example([])], p.study), r"'q1': answer=\[\] must be places"),
    "answer at the first token": (lambda p: capture(p.subject, [example([0])], p.study), r"'q1': answer=\[0\] must be"),
    "answer beyond the end": (lambda p: capture(p.subject, [example([5])], p.study), r"answer=\[5\] must be .* of 5"),
    "neuron of another model": (
        lambda p: token_contributions(p.subject, [[1, 2]], np.array([10**6])),
        "neuron 1000000 is out of range: .* 6 layers of 768",
    ),
    "rows of several widths": (
        lambda p: TallMatrix([np.ones((2, 3)), np.ones((2, 4))]),
        r"rows of different widths: \[3, 4\]",
    ),
    "column that is not there": (lambda p: X.columns(np.array([5])), "columns 5 to 5 are asked of rows that have 5"),
    "column from behind": (lambda p: X.columns(np.array([-1])), "columns -1 to -1 are asked of rows that have 5"),
    # probes
    "labels of one kind": (lambda p: l1_path(X, np.ones(8), [1.0]), r"labels hold only \[1.0\]: a probe needs both"),
    "labels that are words": (lambda p: l1_path(X, np.array(["a", "b"] * 4), [1.0]), r"labels hold only \['a', 'b'\]"),
    "no labels": (lambda p: l1_path(TallMatrix([np.ones((0, 5))]), np.array([]), [1.0]), r"labels hold only \[\]"),
    "labels of another length": (lambda p: l1_path(X, HALF[:5], [1.0]), "5 labels do not fit 8 examples"),
    "contribution that is NaN": (
        lambda p: l1_path(spoilt(np.nan), HALF, [1.0]),
        "column 3 .* holds NaN or infinity: leave",
    ),
    "contribution without end": (lambda p: c_grid(spoilt(np.inf), HALF, 5), "column 3 .* holds NaN or infinity: leave"),
    "contributions all alike": (
        lambda p: c_grid(TallMatrix([np.zeros((8, 5))]), HALF, 5),
        "no contribution differs between",
    ),
    "no C": (lambda p: l1_path(X, HALF, []), r"grid=\[\] must hold values of C above 0"),
    "C of zero": (lambda p: l1_path(X, HALF, [0.0, 1.0]), r"grid=\[0.0, 1.0\] must hold values of C above 0"),
    "refit of no neurons": (lambda p: refit(X, HALF, np.array([], int)), r"neurons=\[\] leaves nothing to fit"),
    # statistics
    "scores of another length": (lambda p: auroc(HALF, np.ones(3)), r"8 labels do not fit scores of shape \(3,\)"),
    "scores that are NaN": (lambda p: average_precision(HALF, np.full(8, np.nan)), "8 of 8 scores are NaN: leave out"),
    "one score that is NaN": (lambda p: accuracy(HALF, np.array([np.nan] + [1.0] * 7)), "1 of 8 scores are NaN"),
    "bootstrap of nothing": (
        lambda p: bootstrap(mean, np.array([])),
        r"needs columns of one length above 0, got \[0\]",
    ),
    "groups of another length": (lambda p: bootstrap(mean, np.ones(8), groups=["a"]), "1 groups do not fit 8 rows"),
    "unknown match": (lambda p: random_sets(np.array([1]), (2, 4), 1, Match("loud")), "match='loud'"),
    "match without magnitude": (
        lambda p: random_sets(np.array([1]), (2, 4), 1, Match("magnitude")),
        "needs the magnitude of every",
    ),
    "too many neurons to match": (lambda p: random_sets(np.arange(7), (2, 4), 1), "7 neurons leave only 1 others"),
    # interventions
    "alpha below zero, live": (
        lambda p: p.subject.scaled(np.array([1]), -1.0).__enter__(),
        "alpha=-1.0 must be finite",
    ),
    "alpha that is NaN, live": (
        lambda p: p.subject.scaled(np.array([1]), np.nan).__enter__(),
        "alpha=nan must be finite",
    ),
    "neuron outside": (lambda p: p.subject.scaled(np.array([-1]), 1.0).__enter__(), "neuron -1 is out of range"),
    "neuron of one half": (
        lambda p: p.subject.scaled(np.array([0.5]), 1.0).__enter__(),
        r"neurons=\[0.5\] must be a list of",
    ),
    "neurons in a square": (
        lambda p: p.subject.scaled(np.array([[1]]), 1.0).__enter__(),
        r"neurons=\[\[1\]\] must be a list",
    ),
    "no doses": (lambda p: dosed(p.subject, []).__enter__(), r"doses=\[\] scales nothing: give one"),
    "no items to press": (
        lambda p: replies_at(p.subject, [], [UNSCALED], p.study),
        "needs items of one behaviour, got none",
    ),
    "text of nothing": (lambda p: text_loss(p.subject, [""], [UNSCALED], p.study), "text '' has no token that another"),
    "models of two shapes": (
        lambda p: drift(p.subject, type("M", (), {"name": "m", "n_layers": 1, "d_mlp": 2})(), np.array([0])),
        "differ in shape: drift needs the same architecture",
    ),
    # cards
    "card that is not there": (lambda p: HNeurons.load(Path("/no/card.json")), "could not read the card /no/card.json"),
    "card of a list": (lambda p: HNeurons.load(Path(p.file("[]"))), "it.json is not a card of H-Neurons"),
    "card of bytes": (lambda p: HNeurons.load(Path(p.file(b"\xff"))), "it.json is not a card of H-Neurons"),
    "card with a word for C": (lambda p: card(p, C="much"), "not a card of H-Neurons: C='much' must be of type float"),
    "card with one setting more": (lambda p: card(p, colour=1), "not a card of H-Neurons: .*colour"),
    "card with a neuron outside": (lambda p: card(p, d_mlp=2), "names a neuron outside 2 layers of 2"),
    "card with half a neuron": (
        lambda p: card(p, rows=[{"layer": 0, "neuron": 0.5, "weight": 1}]),
        "names a neuron outside",
    ),
    "card with NaN": (
        lambda p: card(p, rows=[{"layer": 0, "neuron": 0, "weight": np.nan}]),
        "holds a weight that is no finite",
    ),
    "card changed by hand": (lambda p: card(p, digest="0" * 32), "is damaged, or was changed by hand"),
    # cache and servers
    "cache in no folder": (
        lambda p: cached(p.file("x", "a-file") and "s", {}, [1], lambda _: {}, 1),
        "cache folder .* is not writable .* set HN_CACHE",
    ),
    "address without host": (lambda p: address_of("http://"), "must read http.s.://host:port/path"),
    "key that is not set": (
        lambda p: ChatModel("m", "https://api.openai.com/v1").ask([[]], lambda *_: "", 1),
        "set OPENAI_API",
    ),
    "unknown rubric": (
        lambda p: chat_verdicts("kindness", [], p.study),
        "unknown rubric 'kindness': choose one of answer",
    ),
}


@pytest.fixture
def place(study, subject, tmp_path, monkeypatch) -> Place:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    return Place(study, subject, tmp_path)


def test_the_table_is_long():
    assert len(CASES) >= 60


@pytest.mark.parametrize("case", CASES)
def test_it_is_said_in_one_sentence(case, place, monkeypatch):
    does, told = CASES[case]
    if case == "cache in no folder":
        monkeypatch.setenv("HN_CACHE", str(place.folder / "a-file"))
    with pytest.raises((ValueError, OSError)) as error:
        does(place)
    said = str(error.value)
    assert re.search(told, said)
    assert "\n" not in said
    assert len(said) < 500


COMMANDS: dict[str, tuple[list[str], str]] = {
    "no study": (["run", "--study", "gpt-9"], "error: unknown study 'gpt-9'"),
    "no study file": (["run", "--study", "/no/x.json"], "error: could not read the study /no/x.json"),
    "no questions": (["run", "--questions", "0"], "error: n_questions=0 must be at least 1"),
    "fewer than none": (["run", "--questions", "-5"], "error: n_questions=-5 must be at least 1"),
    "a file as folder": (
        ["run", "--out", __file__],
        "error: folder '.*test_bad_input.py' cannot be written .File exists.: name one that can",
    ),
    "no examples": (["audit", "/no/where"], "error: /no/where holds no .*qids.json: give the folder"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_command_ends_in_one_sentence(case):
    arguments, told = COMMANDS[case]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert re.match(told, str(ended.value))
    assert "\n" not in str(ended.value)


def test_released_examples_that_are_damaged_are_named(tmp_path):
    for part in ("train", "test"):
        (tmp_path / f"m_TriviaQA_{part}_qids.json").write_text('{"t": [1]')
    with pytest.raises(SystemExit, match="error: .* does not hold the released examples .*JSONDecodeError.*fetch them"):
        main(["audit", str(tmp_path)])
