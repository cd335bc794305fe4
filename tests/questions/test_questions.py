"""Which questions are asked, and how they are split."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from hn_utils.questions.question import (
    Question,
    hold_out_answers,
    own_questions,
    share_entities,
    split_entities,
    unseen_answers,
)
from hn_utils.questions.question_sets import load_items, load_questions, question_set
from hn_utils.questions.reading.same_answer import normalise
from hn_utils.study.row_files import read_file


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
    monkeypatch.setattr("hn_utils.questions.question_sets.read_own", lambda *_: read.append(1) or [*ROWS])
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


def test_entities_that_are_held_out_are_test_entities_and_shares_stay():
    names = [f"p{i}" for i in range(1_000)]
    split = split_entities(names, 0, names[:150])
    assert {split[name] for name in names[:150]} == {"test"}
    assert [list(split.values()).count(s) for s in ("train", "validation", "test")] == [450, 150, 400]
    most = split_entities(names, 0, names[:800])  # more than are to be tested: the rest keeps its proportion
    assert [list(most.values()).count(s) for s in ("train", "validation", "test")] == [150, 50, 800]


# --- files ----------------------------------------------------------------------------------------------------------

LINES = "question,answers\n" + "\n".join(f"Who is {i}?,Person {i}" for i in range(3))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.CSV", LINES.encode()),
        ("semicolons.csv", LINES.replace(",", ";").encode()),
        ("tabs.csv", LINES.replace(",", "\t").encode()),
        ("tabs.tsv", LINES.replace(",", "\t").encode()),
        ("marked.csv", b"\xef\xbb\xbf" + LINES.encode()),
        ("lines.csv", LINES.replace("\n", "\r\n").encode("utf-16")),
        ("big.csv", b"\xfe\xff" + LINES.encode("utf-16-be")),
        ("quoted.csv", LINES.replace("question,answers", '"question","answers"').encode()),
    ],
)
def test_tables_as_programs_write_them(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert read_file(tmp_path / name, "") == [{"question": f"Who is {i}?", "answers": f"Person {i}"} for i in range(3)]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("rows.csv", "question,answers\nWer?,Göthe\n".encode("cp1252"), "line 2 is no text in UTF-8: save the file as"),
        ("rows.jsonl", '{"question": "Göthe?"}'.encode("latin-1"), "line 1 is no text in UTF-8"),
        ("rows.csv", b'question,answers\nWho?,"Person 1\nWhere?,Essel\n', "line 3 cannot be parted into cells"),
        ("rows.csv", b"question;answers\nWho?;A;B\n", "line 2 has more cells than the first: put a text with a semi"),
        ("rows.json", b'{"1": {"question": "Who?"}}', "it is an object without a list of rows under questions"),
    ],
)
def test_files_that_cannot_be_read_for_certain_are_told(name, content, told, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(OSError, match=f"could not read .*{name} .{told}"):
        read_file(tmp_path / name, "give another")


def answers_of_last(given, others=()) -> tuple[str, ...]:
    return own_questions([*ROWS, *others, {"question": "Who wrote it?", "answers": given}], seed=0)[-1].aliases


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("Jane Austen|Austen", ("Jane Austen", "Austen")),
        (" Jane Austen | Austen ", ("Jane Austen", "Austen")),
        ("|x|", ("|x|",)),
        ("P(A|B)", ("P(A|B)",)),
        (["A|B", "C"], ("A|B", "C")),
        ("Trick or Treat", ("Trick or Treat",)),  # one of many that holds it: nothing says that it parts answers
        ("AC/DC", ("AC/DC",)),
        (np.int64(1912), ("1912",)),
        (np.array(["A", "B"]), ("A", "B")),
    ],
)
def test_what_parts_several_answers(given, read):
    assert answers_of_last(given) == read


@pytest.mark.parametrize("separator", ["; ", ";", " / ", " or "])
def test_a_sign_that_most_answers_hold_parts_them(separator, capsys):
    rows = [{"question": f"Who wrote {i}?", "answers": f"Jane A{i}{separator}A{i}"} for i in range(30)]
    asked = own_questions([*rows, {"question": "And this?", "answers": "Emily"}], seed=0)
    assert [q.aliases for q in asked[:2]] == [("Jane A0", "A0"), ("Jane A1", "A1")]
    assert asked[-1].aliases == ("Emily",)


def test_rows_that_cannot_be_kept_are_named():
    for row, fault in (
        ({"question": "Who \ud83d?", "answers": "A"}, r"questions\[30\] has question=.* holds half a character"),
        ({"question": "Who?", "answers": ["B", "\udc00"]}, r"questions\[30\] .* has answers=.* holds half a character"),
        (
            {"question": "Who?", "answers": "Essel", "seen": {1, 2}},
            r"has seen=.* is of type set, which cannot",
        ),
        ({"question": "Who?", "answers": "Essel", "note": "\ud83d"}, r"has note=.* holds half a character"),
        ({"question": "When?", "answers": 1912.5}, "read it as text, with dtype=str"),
    ):
        with pytest.raises(ValueError, match=fault):
            own_questions([*ROWS, row], seed=0)


def test_what_a_frame_holds_is_kept_as_json_can_keep_it():
    rows = pd.DataFrame([{**row, "n": i, "day": pd.Timestamp(2020, 1, 1 + i % 9)} for i, row in enumerate(ROWS)])
    asked = own_questions(rows.assign(entity=pd.NaT, **{"Unnamed: 0": range(30)}), seed=0)
    assert asked[3].strata == {"n": 3, "day": "2020-01-04T00:00:00"}
    assert type(asked[3].strata["n"]) is int
    assert len({q.entity for q in asked}) == 30  # a day that is missing is no entity


# --- nothing that is tested was trained on ----------------------------------------------------------------------------


def trained_on(asked: list[Question]) -> list[Question]:
    return [q for q in asked if q.part == "standard" and q.split != "test"]


def test_a_part_of_its_own_asks_nothing_that_is_trained_on(capsys):
    again = [{"question": f"The birthplace of {i}?", "answers": f"Port {i}", "part": "paraphrase"} for i in range(30)]
    same = [{**row, "part": "again", "entity": f"other {i}"} for i, row in enumerate(ROWS)]
    asked = own_questions([*ROWS, *again, *same], seed=0)
    trained = trained_on(asked)
    answers = {normalise(a) for q in trained for a in q.aliases}
    entities, texts = {q.entity for q in trained}, {q.text for q in trained}
    for part in ("paraphrase", "again"):
        left = [q for q in asked if q.part == part]
        assert len(left) == 12  # of 30 entities 12 are test entities
        assert not any(q.entity in entities or q.text in texts for q in left)
        assert not any(normalise(a) in answers for q in left for a in q.aliases)
    of_test = {q.entity for q in asked if q.part == "standard" and q.split == "test"}
    assert {q.entity for q in asked if q.part == "paraphrase"} == of_test


def test_a_split_of_one_s_own_holds_for_other_parts_too():
    other = [{"question": f"Whence {i}?", "answers": f"Port {i}", "part": "paraphrase"} for i in range(30)]
    asked = own_questions([*(split(row, i) for i, row in enumerate(ROWS)), *other], seed=0)
    assert [q.text for q in asked if q.part == "paraphrase"] == [f"Whence {i}?" for i in range(2, 30, 3)]


def test_named_entities_are_one_whatever_their_case_and_share_answers_freely(capsys):
    rows = [
        {"question": f"{what} of {name}?", "answers": "Essel", "entity": entity}
        for i in range(30)
        for what, name, entity in (("Birthplace", f"Ann {i}", f"Ann {i}"), ("Home", f"ann {i}", f" ann {i}!"))
    ]
    asked = own_questions(rows, seed=0)
    assert len({q.entity for q in asked}) == 30
    assert all(a.split == b.split for a, b in zip(asked[::2], asked[1::2], strict=True))
    assert "24 of 24 test questions have an answer that a training question has" in capsys.readouterr().out


def test_a_question_in_several_rows_is_one_with_all_its_answers(capsys):
    again = [{"question": row["question"].upper() + " ", "answers": [f"Harbour {i}"]} for i, row in enumerate(ROWS)]
    asked = own_questions([*ROWS, *again], seed=0)
    assert len(asked) == 30
    assert asked[4].aliases == ("Port 4", "4", "Harbour 4")
    assert "30 rows repeat a question and are joined with it" in capsys.readouterr().out
    torn = [{**ROWS[0], "split": s} for s in ("train", "test")]
    with pytest.raises(ValueError, match="is asked in the splits train and test: put each question into one"):
        own_questions([*(split(row, i) for i, row in enumerate(ROWS)), *torn], seed=0)


def test_the_same_text_under_two_entities_is_in_one_split():
    a, b, c = share_entities(
        [Question("1", "Who?", ("x",), "e1"), Question("2", "who", ("y",), "e2"), Question("3", "Why?", ("x",), "e3")],
        [False] * 3,
    )
    assert a.entity == b.entity != c.entity


def test_a_row_without_an_entity_joins_by_its_answer():
    named = Question("1", "Who?", ("Essel",), "e1"), Question("2", "Where?", ("Essel",), "e2")
    alone = Question("3", "When?", ("essel",), "essel")
    assert len({q.entity for q in share_entities([*named, alone], [False, False, True])}) == 1
    assert len({q.entity for q in share_entities([*named, alone], [False] * 3)}) == 3


def crossed(n_people: int = 40) -> list[dict]:
    """People, each asked about three times, who have few answers among them."""
    rng = np.random.default_rng(1)
    return [
        {"question": f"{what} of {i}?", "answers": f"{what} {rng.integers(6)}", "entity": f"person {i}"}
        for i in range(n_people)
        for what in ("Home", "Trade", "Pet")
    ]


def test_answers_can_be_held_out():
    asked = own_questions(crossed(), seed=0)
    shared = [q for q in asked if q.split == "test" and q.id not in unseen_answers(asked)]
    assert len(shared) == len([q for q in asked if q.split == "test"]) == 48
    apart = own_questions(crossed(), seed=0, hold_out=True)
    tested, trained = [q for q in apart if q.split == "test"], trained_on(apart)
    assert {q.aliases for q in tested}.isdisjoint({q.aliases for q in trained})
    assert {q.id for q in tested} == unseen_answers(apart)
    assert {q.id: q.split for q in apart}.items() <= {q.id: q.split for q in asked}.items()
    assert min(len(tested), len(trained)) > 10
    assert hold_out_answers(apart, 0) == apart


def test_an_answer_is_held_out_by_all_its_names():
    asked = [
        Question("1", "1?", ("Essel", "Old Essel"), "a", split="train"),
        Question("2", "2?", ("old essel!",), "b", split="test"),
        Question("3", "3?", ("Corin",), "c", split="test"),
        Question("4", "4?", (), "d", "nonexist"),
    ]
    assert unseen_answers(asked) == {"3", "4"}
    for seed in range(5):
        left = {q.id for q in hold_out_answers(asked, seed)}
        assert {"3", "4"} < left
        assert len(left & {"1", "2"}) == 1


def test_the_bundled_world_asks_nothing_twice(study):
    asked = load_questions(study)
    trained = trained_on(asked)
    entities, texts = {q.entity for q in trained}, {normalise(q.text) for q in trained}
    others = [q for q in asked if q.part != "standard" or q.split == "test"]
    assert len(others) > 1_000
    assert not any(q.entity in entities or normalise(q.text) in texts for q in others)
    apart = load_questions(replace(study, hold_out_answers=True))
    assert {q.id for q in apart if q.split == "test"} == unseen_answers(apart)
