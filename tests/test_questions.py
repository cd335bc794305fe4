"""Which questions are asked, and how they are split."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from hn_utils.question_sets import load_items, load_questions, question_set
from hn_utils.questions import own_questions, split_entities


def test_splits_have_their_shares():
    split = split_entities([f"p{i}" for i in range(1_000)], seed=0)
    counts = {s: list(split.values()).count(s) for s in ("train", "validation", "test")}
    assert counts == {"train": 450, "validation": 150, "test": 400}


def test_some_questions_are_drawn_from_all(study):
    few, every = load_questions(replace(study, n_questions=30)), load_questions(study)
    for part in ("standard", "paraphrase", "attribute", "nonexist"):
        assert sum(q.part == part for q in few) == min(30, sum(q.part == part for q in every))


ROWS = [{"question": f"Where was {name} born?", "answers": [f"Port {name}", name]} for name in map(str, range(30))]


def test_own_questions_are_split_so_that_none_share_an_answer():
    rows = [*ROWS, {"question": "And where does 3 live?", "answers": "Port 3"}]
    asked = own_questions(rows, seed=0)
    assert [q.text for q in asked] == [row["question"] for row in rows]
    assert asked[-1].aliases == ("Port 3",)
    assert (asked[-1].entity, asked[-1].split) == (asked[3].entity, asked[3].split)
    assert {q.split for q in asked} == {"train", "validation", "test"}
    assert {q.part for q in asked} == {"standard"}
    assert own_questions(rows, seed=0) == asked
    assert own_questions(rows, seed=1) != asked


def test_a_frame_says_the_same_as_its_rows():
    rows = [dict(row, entity=f"person {i % 25}", exposure=i) for i, row in enumerate(ROWS)]
    assert own_questions(pd.DataFrame(rows), seed=0) == own_questions(rows, seed=0)
    some = [{**row, "part": "standard"} for row in rows] + [{"question": "Who is Zed?", "part": "nonexist"}]
    asked = own_questions(pd.DataFrame(some), seed=0)  # what the last row lacks is nan there
    assert asked == own_questions(some, seed=0)
    assert (asked[-1].part, asked[-1].split, asked[-1].aliases) == ("nonexist", "test", ())
    assert asked[7].strata == {"exposure": 7}


NAMES = ["Ned O'Hara", 'a "b" c', "back\\slash", "é, è", "[1]"]


def test_lists_that_a_csv_file_made_texts_of_are_lists_again(tmp_path):
    rows = [{**row, "answers": [*row["answers"], *NAMES], "entity": f"person {i}"} for i, row in enumerate(ROWS)]
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    read = pd.read_csv(tmp_path / "rows.csv")
    assert read["answers"][0].startswith("['Port 0', '0', \"Ned O'Hara\"")
    assert own_questions(read, seed=0) == own_questions(rows, seed=0)
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    assert own_questions(pd.read_parquet(tmp_path / "rows.parquet"), seed=0) == own_questions(rows, seed=0)


@pytest.mark.parametrize("kind", ["jsonl", "json", "csv", "parquet"])
def test_a_study_s_own_file_says_the_same_as_its_rows(kind, study, tmp_path):
    rows = [{**row, "entity": f"person {i % 25}"} for i, row in enumerate(ROWS)]
    rows.append({"question": "Who is Zed?", "part": "nonexist"})
    file, table = tmp_path / f"rows.{kind}", pd.DataFrame(rows)
    if kind == "csv":
        table.to_csv(file, index=False)
    elif kind == "parquet":
        table.to_parquet(file)
    else:
        table.to_json(file, orient="records", lines=kind == "jsonl")
    own = replace(study, questions=str(file))
    assert load_questions(own) == own_questions(rows, seed=study.seed)
    assert question_set(own).PARTS == {"standard": "held-out entities", "nonexist": "nonexist"}
    assert len(load_questions(replace(own, n_questions=3))) == 4
    assert {item.behaviour for item in load_items(own)} == {"recall"}
    assert question_set(own).texts(own) == []


def test_a_file_is_read_once_and_again_only_when_it_has_changed(study, tmp_path, monkeypatch):
    file, read = tmp_path / "rows.jsonl", []
    monkeypatch.setattr("hn_utils.question_sets.read_own", lambda *_: read.append(1) or [*ROWS])
    file.write_text("one")
    own = replace(study, questions=str(file))
    load_questions(own)
    load_items(own)
    assert question_set(own).PARTS == {"standard": "held-out entities"}
    assert len(read) == 1
    file.write_text("two")
    load_questions(own)
    assert len(read) == 2


def test_a_file_of_no_use_is_named(study, tmp_path):
    (tmp_path / "rows.csv").write_text("question,answers\nWho wrote it?,Jane Austen, Austen\n")
    with pytest.raises(OSError, match="could not read .*rows.csv .*line 2 has more cells than the first: put a text"):
        load_questions(replace(study, questions=str(tmp_path / "rows.csv")))
    (tmp_path / "rows.csv").write_text("question,answer\nWho wrote it?,Jane Austen\n")
    with pytest.raises(ValueError, match="did you mean 'answers' by 'answer'"):
        load_questions(replace(study, questions=str(tmp_path / "rows.csv")))
    for name in ("questions", "items"):
        with pytest.raises(ValueError, match=f"{name}='no.jsonl' does not exist: give the full path of a file"):
            replace(study, **{name: "no.jsonl"})
    with pytest.raises(ValueError, match="items='mine.txt' must be a file that ends in .csv, .json, .jsonl, .parquet"):
        replace(study, items="mine.txt")
    with pytest.raises(ValueError, match="unknown question set 'mine.txt': .* or name a file of your own questions"):
        load_questions(replace(study, questions="mine.txt"))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ('["A", "B"]', ("A", "B")),
        ("('A', 'B')", ("A", "B")),
        ("[1912, 1913]", ("1912", "1913")),
        (1912, ("1912",)),
        ("Ca2+ [calcium]", ("Ca2+ [calcium]",)),
        ("[Ca2+]", ("[Ca2+]",)),
        ("(Harry) Sinclair Lewis", ("(Harry) Sinclair Lewis",)),
        ("(the) (moon)", ("(the) (moon)",)),
    ],
)
def test_what_an_answer_says(given, read):
    asked = own_questions([*ROWS, {"question": "Who?", "answers": given}], seed=0)
    assert asked[-1].aliases == read


def split(row: dict, i: int) -> dict:
    return {**row, "split": ("train", "validation", "test")[i % 3]}


def test_a_split_of_one_s_own_is_kept():
    asked = own_questions([split(row, i) for i, row in enumerate(ROWS)], seed=0)
    assert [q.split for q in asked[:4]] == ["train", "validation", "test", "train"]


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([], "questions is empty"),
        (["Who?"], r"questions\[0\] is of type str: give a dict"),
        ("Who?", "questions is of type str: give a list of dicts, or a DataFrame, with a question and its answers"),
        ([*ROWS, {"question": "Who?", "answers": "['A' 'B']"}], r"answers=.*looks like a list, but not as .*\.jsonl"),
        ([*ROWS, {"question": "Who?", "answers": 1912.0}], r"questions\[30\] .*answers=1912.0: it must be a text"),
        ([*ROWS, {"question": "Who?", "answers": [True]}], r"answers=\[True\]: it must be a text"),
        ([*ROWS, {"question": "Who?", "answer": "I"}], "answers=.*: did you mean 'answers' by 'answer'?"),
        ([*ROWS, {"Question": "Who?"}], "no text under 'question'; it has Question: did you mean 'question' by"),
        ([*ROWS, {"text": "Who?"}], r"questions\[30\] has no text under 'question'; it has text"),
        ([*ROWS, {"question": "Who?"}], r"questions\[30\] \('Who\?'\) has answers=\(\): give at least one"),
        ([*ROWS, {"question": "Who?", "answers": ["?!", ""]}], "with a letter or a digit"),
        (ROWS[:19], "19 standard questions are about only 19 different entities .*too few .*ask about 20 or more"),
        (
            [{**row, "answers": "yes"} for row in ROWS],
            "about only 1 different entities.*name each row's 'entity' if answers are shared",
        ),
        ([{**row, "id": "same"} for row in ROWS], "1 ids stand for several questions, such as 'same'"),
        ([split(ROWS[0], 0), *ROWS[1:]], "1 of 30 standard questions name a split: give it to all or to none"),
        ([{**row, "split": "dev"} for row in ROWS], r"questions\[0\] has split='dev': choose one of train"),
        ([{**row, "split": "train"} for row in ROWS], "no standard question is in the split test, validation"),
        (
            [*(split(row, i) for i, row in enumerate(ROWS)), {**split(ROWS[0], 1), "question": "Again?"}],
            "1 entities are in several splits, such as",
        ),
    ],
)
def test_questions_of_no_use_are_named(rows, fault):
    with pytest.raises(ValueError, match=fault):
        own_questions(rows, seed=0)
