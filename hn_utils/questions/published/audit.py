"""What is wrong with a released set of H-Neuron examples: `python -m hn_utils audit FOLDER`.

Reads the authors' files, `<model>_answer_tokens_{train,test}.jsonl` and `<model>_{train,test}_qids.json`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def _read_lines(path: Path) -> list[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        return [item for line in file if line.strip() for item in json.loads(line).items()]


def _chosen_ids(path: Path) -> list[str]:
    groups = json.loads(path.read_text(encoding="utf-8"))
    return [*groups["t"], *groups["f"]]


def audit(folder: Path) -> dict[str, dict[str, float]]:
    """Faults by model: questions in both splits, repeated questions, spans and apostrophes.

    Raises ValueError if the folder holds no such files, or others than were released.
    """
    names = sorted({p.name.split("_TriviaQA")[0] for p in folder.glob("*_TriviaQA_train_qids.json")})
    if not names:
        raise ValueError(f"{folder} holds no *_TriviaQA_train_qids.json: give the folder of the released examples")
    try:
        return {name: _audit_model(folder, f"{name}_TriviaQA") for name in names}
    except (KeyError, TypeError, AttributeError, ValueError, ZeroDivisionError, RecursionError) as error:
        raise ValueError(
            f"{folder} does not hold the released examples as they were released ({type(error).__name__}: {error}): "
            "fetch them again"
        ) from error


def _audit_model(folder: Path, stem: str) -> dict[str, float]:
    ids = {part: _chosen_ids(folder / f"{stem}_{part}_qids.json") for part in ("train", "test")}
    lines = [r for part in ids for r in _read_lines(folder / f"{stem}_answer_tokens_{part}.jsonl")]
    texts = {part: {r["question"] for name, r in lines if name in set(chosen)} for part, chosen in ids.items()}
    marked = [r for _, r in lines if r["answer_tokens"]]
    bare = [[t for t in r["tokenized_response"] if t.strip("▁Ġ .\n")] for r in marked]
    whole = [
        [t for t in r["answer_tokens"] if t.strip("▁Ġ .\n")] == tokens for r, tokens in zip(marked, bare, strict=True)
    ]
    return {
        "rows": len(lines),
        "chosen for train and test": sum(map(len, ids.values())),
        "shared by train and test": len(set(ids["train"]) & set(ids["test"])),
        "question texts shared by train and test": len(texts["train"] & texts["test"]),
        "repeated within a split": sum(len(chosen) - len(set(chosen)) for chosen in ids.values()),
        "answers with an apostrophe": sum("'" in t for r in marked for t in r["answer_tokens"]),
        "responses with an apostrophe": sum("'" in r["response"] for _, r in lines),
        "no span marked": sum(not r["answer_tokens"] for _, r in lines),
        "span is the whole response": sum(whole) / len(whole),
    }
