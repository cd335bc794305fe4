"""A file that is not quite JSON is told in one sentence: the file, the line, and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hn_utils.questions.question_sets import load_items, load_questions
from hn_utils.study import load_study
from hn_utils.study.own_json import parsed

BROKEN = {
    '{"a": 1,\n "b": 2,\n\n}': "line 2 is not JSON: take away the comma before the closing bracket",
    '{"a": [1,\n 2,] }': "line 2 is not JSON: take away the comma before the closing bracket",
    "{\n'a': 1}": "line 2 is not JSON: write names and texts in double quotes",
    "{\"a\": 1,\n'b': 2}": "line 2 is not JSON: write names and texts in double quotes",
    '{"a": 1 // one\n}': "line 1 is not JSON: take away the comment",
    '{"a": True}': "line 1 is not JSON: write true, false or null",
    '{"a": 1\n"b": 2}': r"line 2 is not JSON: mend it at column 1 or just before \(Expecting ',' delimiter\)",
    '{"a": 1}\n{"a": 2}': "line 2 is not JSON: it has ended before; rows, one a line, belong into a .jsonl file",
    " \n": "it is empty",
    "[" * 100_000: "it nests too deeply to be read",
}


@pytest.mark.parametrize(("text", "told"), BROKEN.items(), ids=[told[:40] for told in BROKEN.values()])
def test_each_usual_slip_has_its_remedy(text, told):
    with pytest.raises(ValueError, match=f"^{told}"):
        parsed(text)


def test_a_study_file_names_its_line(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text('{\n "like": "organism",\n "seed": 1,\n}')
    with pytest.raises(
        OSError, match=r"^could not read the study .*mine.json: line 3 is not JSON: take away the comma"
    ):
        load_study(file)
    file.write_bytes('{"name": "müller"}'.encode("latin-1"))
    with pytest.raises(OSError, match=r"could not read the study .*mine.json: it is no text in UTF-8: save it as such"):
        load_study(file)
    with pytest.raises(
        OSError, match=r"^could not read the study .*none.json: No such file or directory; check its path$"
    ):
        load_study(tmp_path / "none.json")
    file.write_text('\ufeff{"like": "organism"}', encoding="utf-8")  # as some editors begin a text
    assert load_study(file).name == "mine"


@pytest.mark.parametrize("setting", ["questions", "items"])
def test_a_file_of_rows_names_its_line(setting, study, tmp_path):
    read = {"questions": load_questions, "items": load_items}[setting]
    whole = '{"question": "Who?", "answers": ["A"]}\n'
    for name, content, line in (
        ("rows.jsonl", f"{whole}\n{whole[:-2]},}}\n", 3),
        ("rows.json", f"[{whole},{whole},\n]", 3),
    ):
        (tmp_path / name).write_text(content)
        told = rf"^could not read .*{name} \(line {line} is not JSON: take away the comma .* bracket\): give rows with"
        with pytest.raises(OSError, match=told):
            read(replace(study, **{setting: str(tmp_path / name)}))
