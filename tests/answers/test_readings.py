"""Six hundred real answers, labelled by reading: how far two readers agree, and how far the rule agrees with them.

The labels, with ids and hashes, stand in readings.tsv; questions, accepted answers and responses are published ones of
others, and are not part of this project. Two readers saw question, accepted answers and response, but neither the rule
nor each other's labels; where they differed (6 rows) a third reading decided, before the rule was run on these rows.
Strata were drawn by how a response looks, 100 of each where there were as many, numbers 175, abstentions all 25.

`python tests/answers/test_readings.py` prints the table.
"""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from hn_utils.answers.judges import judge

TESTS = Path(__file__).resolve().parents[1]
PUBLISHED = TESTS.parents[1] / "shared" / "data" / "systemicvoid_gemma3_4b_triviaqa"
DATA = PUBLISHED / "data" / "gemma3_4b" / "pipeline" / "consistency_samples.jsonl"
ASKED = " Respond with the answer only, without any explanation."
# How many of the 35,000 published responses look so: a kappa for responses as they come.
IN_ALL = {"names": 14527, "short": 13920, "numbers": 3394, "several": 2167, "long": 873, "abstentions": 119}


def readings() -> list[dict[str, str]]:
    with (TESTS / "readings.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def responses() -> dict[str, tuple[str, list[str], str]]:
    """Question, accepted answers and response by id; skips where the published responses are not there."""
    if not DATA.exists():
        pytest.skip("the published responses are not here: the labels alone cannot be judged")
    found = {}
    with DATA.open(encoding="utf-8") as file:
        for line in file:
            for name, row in json.loads(line).items():
                question = row["question"].replace(ASKED, "")
                for place, text in enumerate(row["responses"]):
                    found[f"{name}/{place}"] = question, row["ground_truth"], text
    return found


def kappa(one: list[str], other: list[str], weights: np.ndarray | None = None) -> float:
    return float(cohen_kappa_score(one, other, sample_weight=weights))


def interval(one: list[str], other: list[str], weights: np.ndarray | None = None) -> tuple[float, float]:
    """95 % bootstrap interval over rows: each is about another question."""
    rng, n = np.random.default_rng(0), len(one)
    each = np.ones(n) if weights is None else weights
    a, b = np.array(one), np.array(other)
    draws = [rng.integers(n, size=n) for _ in range(1_000)]
    low, high = np.percentile([kappa(a[d], b[d], each[d]) for d in draws], [2.5, 97.5])
    return float(low), float(high)


def judged(rows: list[dict[str, str]]) -> list[str]:
    texts = responses()
    return [judge(texts[row["id"]][2], texts[row["id"]][1]) for row in rows]


def as_they_come(rows: list[dict[str, str]]) -> np.ndarray:
    """The weight of each row if strata were as common as among all responses."""
    sizes = {name: sum(row["stratum"] == name for row in rows) for name in IN_ALL}
    return np.array([IN_ALL[row["stratum"]] / sizes[row["stratum"]] for row in rows])


def test_labels_belong_to_these_very_texts():
    texts = responses()
    for row in readings():
        content = json.dumps(list(texts[row["id"]]))
        assert hashlib.sha256(content.encode()).hexdigest()[:16] == row["sha256"], row["id"]


def test_two_readers_agree():
    rows = readings()
    assert len(rows) == len({row["id"].split("/")[0] for row in rows}) == 600
    assert all(row["label"] in (row["first"], row["second"]) or row["reason"] for row in rows)
    assert kappa([row["first"] for row in rows], [row["second"] for row in rows]) > 0.95


def test_the_rule_agrees_with_reading():
    rows = readings()
    verdicts, labels = judged(rows), [row["label"] for row in rows]
    low, _ = interval(verdicts, labels)
    assert low > 0.82
    for name in ("names", "short", "numbers", "long"):
        some = [i for i, row in enumerate(rows) if row["stratum"] == name]
        assert kappa([verdicts[i] for i in some], [labels[i] for i in some]) > 0.8, name
    # What it calls right was read as right: it errs by what it misses, not by what it lets pass.
    said_right = [label for verdict, label in zip(verdicts, labels, strict=True) if verdict == "right"]
    assert said_right.count("right") / len(said_right) > 0.96


def table() -> str:
    rows = readings()
    verdicts, labels = judged(rows), [row["label"] for row in rows]
    first, second = ([row[name] for row in rows] for name in ("first", "second"))
    lines = [f"two readings: kappa {kappa(first, second):.3f}, {sum(map(str.__ne__, first, second))} of 600 differ"]
    for name in ("all", *IN_ALL):
        some = [i for i, row in enumerate(rows) if name in ("all", row["stratum"])]
        one, other = [verdicts[i] for i in some], [labels[i] for i in some]
        agree, (low, high) = np.mean([a == b for a, b in zip(one, other, strict=True)]), interval(one, other)
        lines.append(
            f"rule, {name:12} n = {len(some):3}  agree {agree:.3f}  "
            f"kappa {kappa(one, other):.3f} [{low:.3f}, {high:.3f}]"
        )
    weights = as_they_come(rows)
    low, high = interval(verdicts, labels, weights)
    lines.append(f"rule, responses as they come: kappa {kappa(verdicts, labels, weights):.3f} [{low:.3f}, {high:.3f}]")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
