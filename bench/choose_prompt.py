"""Choose how a real model is asked: by accuracy alone, on the facts that are set aside for this and asked nowhere else.

`python bench/choose_prompt.py qwen2.5-coder-1.5b` prints a table of prompts: the share of right draws, and how many
questions were answered ten times rightly or ten times wrongly.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import pandas as pd

import hn_utils as hn
from hn_utils.answers.sampling import build_examples, sample_responses
from hn_utils.questions.real_world.asking import set_aside_questions
from hn_utils.study.presets import SHORT_EXAMPLES

ANSWER_ONLY = "{question} Respond with the answer only, without any explanation."
PROMPTS = {
    "no examples, answer only": {"chat_prompt": ANSWER_ONLY},
    "five examples": {"chat_prompt": "{question}", "examples": SHORT_EXAMPLES[:5]},
    "five examples, answer only": {"chat_prompt": ANSWER_ONLY, "examples": SHORT_EXAMPLES[:5]},
    "ten examples": {"chat_prompt": "{question}", "examples": SHORT_EXAMPLES},
    # Ten examples and the wording were left out after one batch: each question took three seconds.
}


def main(which: str) -> None:
    model = hn.load(which)
    questions = set_aside_questions()
    rows = []
    for name, settings in PROMPTS.items():
        study = replace(model.study, **settings)
        responses = sample_responses(model, questions, study)
        verdicts = [response.verdict for row in responses for response in row]
        labels = [example.label for example in build_examples(model.encoder, questions, responses, study)]
        rows.append(
            {
                "prompt": name,
                "draws right": sum(verdict == "right" for verdict in verdicts) / len(verdicts),
                "draws cut": sum(verdict == "cut" for verdict in verdicts) / len(verdicts),
                "draws abstained": sum(verdict == "abstained" for verdict in verdicts) / len(verdicts),
                "always right": labels.count(0),
                "always wrong": labels.count(1),
            }
        )
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main(sys.argv[1])
