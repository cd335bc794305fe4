"""Whatever stands in a file or a reply, it is read as what it is or refused in a sentence of ours; no code is read."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hn_utils
from hn_utils.answers.judges import RUBRICS, judge, one_word
from hn_utils.answers.spans import find_phrase
from hn_utils.probing.probe import HNeurons
from hn_utils.questions.published.pressing import read_items, texts
from hn_utils.questions.question_sets import load_questions
from hn_utils.questions.reading.same_answer import normalise
from hn_utils.study import Sampling, Study, load_study

some = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def nearly(whole: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """JSON of an object with some of its values replaced or left out, of anything, or no JSON at all."""
    known = st.fixed_dictionaries({}, optional={name: st.just(value) | values for name, value in whole.items()})
    more = st.dictionaries(st.sampled_from([*whole, "more"]), values, max_size=2)
    return st.builds(lambda a, b: as_json({**a, **b}), known, more) | values.map(as_json) | st.binary(max_size=200)


CARD = {
    "model": "m", "fingerprint": "f", "study": "s", "region": "answer", "C": 1.0, "intercept": 0.0, "d_mlp": 4,
    "n_layers": 2, "rows": [{"layer": 1, "neuron": 2, "weight": 1.0}],
}  # fmt: skip
STUDY = {
    "like": "organism",
    "seed": 1,
    "alphas": [0, 1, 3],
    "sampling": {"n": 2},
    "sets": [],
    "judge_url": "http://a/v1",
}
ROW = {
    "question": "Who?", "question_id": "1", "id": 1, "answer": {"value": "x", "aliases": [], "normalized_aliases": []},
    "possible_answers": '["x"]', "subj": "s", "s_pop": 3, "prop": "p", "body": "Q", "type": "factoid",
    "exact_answer": [["x"]], "text": "<answer> x <context>",
}  # fmt: skip


def ours(error: Exception, *names: str) -> bool:
    """Is it our sentence: does it name one of these?"""
    return any(name in str(error) for name in names)


def test_any_file_as_a_card(tmp_path):
    file = tmp_path / "card.json"

    @some
    @given(nearly(CARD))
    def read(content: bytes):
        file.write_bytes(content)
        try:
            found = HNeurons.load(file)
            assert (found.neurons < found.n_layers * found.d_mlp).all()
        except ValueError as error:
            assert ours(error, str(file))

    read()


def test_any_file_as_a_study(tmp_path):
    file = tmp_path / "mine.json"
    fields = [*Study.__dataclass_fields__, *Sampling.__dataclass_fields__]

    @some
    @given(nearly(STUDY))
    def read(content: bytes):
        file.write_bytes(content)
        try:
            assert load_study(file).alphas
        except (ValueError, OSError) as error:
            assert ours(
                error, str(file), "unknown setting", *(f"{name}=" for name in fields), "judge_url: ", "needs a chat"
            )

    read()


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
@pytest.mark.parametrize("name", ["triviaqa", "nq_open", "bioasq", "popqa"])
def test_any_file_as_questions(name, kind, study, tmp_path):
    file = tmp_path / f"rows.{kind}"

    @settings(some, max_examples=15)
    @given(nearly(ROW))
    def read(content: bytes):
        file.write_bytes(content)
        asked = replace(study, questions="published", sets=(name,), sources={name: str(file)})
        try:
            assert all(q.aliases for q in load_questions(asked))
        except (ValueError, OSError) as error:
            assert ours(error, name, str(file))

    read()


ITEM = {
    "label": "1", "question": "Why?", "id": 1, "context": "It is so.", "answerKey": "A", "prompt": "Do it.",
    "choices": {"label": ["A", "B"], "text": ["x", "y"]}, "content_policy_name": "p", "text": "= Town = " + "x" * 400,
    "base": {"question": "Q?", "correct_answer": "x", "answer": ["x"], "letters": "AB", "answers": "a"},
}  # fmt: skip


@pytest.mark.parametrize("name", ["falseqa", "faitheval", "sycophancy", "forbidden", "xstest", "wikitext"])
def test_any_file_as_pressure(name, study, tmp_path):
    file = tmp_path / "rows.json"
    asked = {"sources": {name: str(file), "jailbreaks": str(file)}, "judge": "m", "questions": "published"}

    @settings(some, max_examples=15)
    @given(nearly(ITEM))
    def read(content: bytes):
        file.write_bytes(b"[" + content + b"]")
        try:
            there = replace(study, **asked)
            assert texts(there) is not None if name == "wikitext" else read_items(name, there) is not None
        except (ValueError, OSError) as error:
            assert ours(error, name, "jailbreaks", str(file))

    file.write_text("[]")
    read()


def test_any_text_as_a_judge_s_reply():
    @settings(some, max_examples=200)
    @given(
        st.text() | st.sampled_from(["right", "**Right.**", "wrong\x00", "right wrong", "\u202eright", "r" * 10_000])
    )
    def read(reply: str):
        for rubric in RUBRICS.values():
            word = one_word(rubric, reply)
            assert word is None or word in rubric.words.values()
        found = find_phrase("The answer (here) is x+y.", [reply])
        assert found is None or normalise(reply) == normalise("The answer (here) is x+y."[slice(*found)])
        assert judge(reply, ["Zürich"]) in ("right", "wrong", "abstained", "cut")

    read()


# --- no code is ever read -------------------------------------------------------------------------------------------


READS_CODE = {"eval", "exec", "compile", "__import__", "os.system"}
UNPICKLERS = {"pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}
UNSAFE = {"allow_pickle", "shell", "trust_remote_code"}


def faults(node: ast.AST) -> list[str]:
    """What in a piece of source could run what stands in a file."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        return [name for name in names if name.split(".")[0] in UNPICKLERS]
    if not isinstance(node, ast.Call):
        return []
    called, said = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
    careless = called == "torch.load" and said.get("weights_only") != "True"
    return [called] * (called in READS_CODE or careless) + [k for k in UNSAFE if said.get(k, "False") != "False"]


def test_nothing_unpickles_or_evaluates():
    sources = sorted(Path(hn_utils.__file__).parent.rglob("*.py"))
    found = [(f.name, fault) for f in sources for node in ast.walk(ast.parse(f.read_text())) for fault in faults(node)]
    assert found == []


def test_that_search_would_find_it():
    bad = "import pickle\nnp.load(f, allow_pickle=True)\ntorch.load(f)\neval(x)\nfrom joblib import load"
    assert len([fault for node in ast.walk(ast.parse(bad)) for fault in faults(node)]) == 5
