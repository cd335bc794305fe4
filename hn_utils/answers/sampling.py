"""Ask each question several times and judge what comes back."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from hn_utils.answers.abstention import abstains
from hn_utils.answers.asking import as_base, prompts_of, stop_of
from hn_utils.answers.examples import Example, NothingConsistent, Response, build_example, drop_counts, representative
from hn_utils.answers.judges import Verdict, chat_verdicts, judge, quoted_answers
from hn_utils.answers.served import Served
from hn_utils.answers.spans import A_FEW, answer_positions, first_sentence
from hn_utils.answers.thoughts import n_thought
from hn_utils.models.generation import generate
from hn_utils.questions.question import Question, check_ids
from hn_utils.storage.cache import cached, gc_paused
from hn_utils.storage.progress import tell_once
from hn_utils.storage.stages import register_stage

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.models.prompt_encoder import PromptEncoder
    from hn_utils.study import Study

VERSION = register_stage("responses", 2)


def _until_stop(encoder: PromptEncoder, ids: list[int], stop: str) -> int:
    """How many tokens were written before their text reached `stop`."""
    return bisect_left(range(len(ids)), True, key=lambda n: stop in encoder.decode(ids[:n]))


def sample_responses(
    subject: HookedModel, questions: Sequence[Question], study: Study, base: bool = False
) -> list[list[Response]]:
    """Draw `study.sampling.n` judged responses to each question; what was generated, or paid for, is cached.

    Raises ValueError if several questions share an id.
    """
    check_ids(questions)
    base = as_base(subject.encoder, base)
    prompts = prompts_of(subject.encoder, questions, study, base)
    server = Served(subject, study) if study.served_at and not base else None
    stop = stop_of(subject.encoder, study, base)
    stopping = {"stop": stop} if stop else {}  # keys of answers that no text ends stay what they were

    def compute(some: list[int]) -> list[dict]:
        asked = [prompts[i] for i in some]
        if server:
            drawn = server.generate([questions[i] for i in some], asked)
        else:
            drawn = generate(subject, asked, study.sampling, study.seed, stop)
        return [{"ids": [g.ids for g in row], "logprobs": [g.logprobs for g in row]} for row in drawn]

    settings = subject.key(VERSION, sampling=study.sampling, seed=study.seed, served_at=study.served_at, **stopping)
    at_once = max(1, study.batch_rows // study.sampling.n)
    lengths = [] if server else [len(prompt) for prompt in prompts]  # nothing is padded there
    kept = cached("responses", settings, prompts, compute, at_once, lengths)

    @cache  # answers are often the same
    def read(ids: tuple[int, ...]) -> Written:
        return written(subject.encoder, ids, study, base)

    with gc_paused():
        rows = kept.records()
        asked = [(q, read(tuple(ids))) for q, row in zip(questions, rows, strict=True) for ids in row["ids"]]
    _tell_of_thoughts(subject.encoder, [one for _, one in asked])
    whole = iter(judged([(q, one.text) for q, one in asked if not one.cut], study))

    def response(question: Question, ids: list[int], logprobs: list[float]) -> Response:
        one = read(tuple(ids))
        if one.n < len(ids):
            ids, logprobs = ids[: one.n], logprobs[: one.n]
        return Response(question.id, ids, logprobs, one.text, "cut" if one.cut else next(whole), one.thought)

    with gc_paused():
        return [
            [response(q, ids, logprobs) for ids, logprobs in zip(row["ids"], row["logprobs"], strict=True)]
            for q, row in zip(questions, rows, strict=True)
        ]


class Written(NamedTuple):
    """What some tokens amount to: how many of them count (up to the study's stop), how many of those are a thought,
    the text of the others, and whether the model was cut off at its limit before it had ended."""

    n: int
    thought: int
    text: str
    cut: bool


def written(encoder: PromptEncoder, ids: Sequence[int], study: Study, base: bool = False) -> Written:
    """Read the tokens of one response, up to the study's stop if there is one.

    One that declines ("I do not know") is not cut, since nothing that might have followed would make it an answer; a
    thought that never ends is, however short.
    """
    return written_until(encoder, ids, stop_of(encoder, study, base), study.sampling.max_new_tokens)


def written_until(encoder: PromptEncoder, ids: Sequence[int], stop: str, limit: int) -> Written:
    """`written` of a response that ends at a text `stop`, if that is not empty, and is cut behind `limit` tokens."""
    n = _until_stop(encoder, list(ids), stop) if stop else len(ids)
    whole = encoder.decode(ids[:n])
    ended = ids[-1] in encoder.stop_ids or (stop != "" and stop in whole)
    thought = n_thought(encoder, ids[:n])
    if thought is None:
        return Written(n, n, "", True)
    text = encoder.decode(ids[thought:n]).strip()
    cut = not ended and len(ids) >= limit and not (text and abstains(text))
    return Written(n, thought, text, cut)


def _tell_of_thoughts(encoder: PromptEncoder, read: Sequence[Written]) -> None:
    """Say once how many responses begin with a thought."""
    thoughts = sum(one.thought > 0 for one in read)
    if thoughts:
        tell_once(
            f"{encoder.name} thinks before it answers in {thoughts:,} of {len(read):,} responses: what it thinks is "
            "taken off before they are judged and read"
        )


def judged(answers: Sequence[tuple[Question, str]], study: Study) -> list[Verdict]:
    """A verdict on each response: the alias rule's, or the chat model's that the study names."""
    if not study.judge:
        by_rule = cache(judge)  # answers to a question are often the same
        return [by_rule(text, question.aliases) for question, text in answers]
    materials = [{"question": q.text, "accepted answers": list(q.aliases), "response": text} for q, text in answers]
    return [v or "unjudged" for v in chat_verdicts("answer", materials, study)]  # type: ignore[misc]


def build_examples(
    encoder: PromptEncoder,
    questions: Sequence[Question],
    responses: Sequence[Sequence[Response]],
    study: Study,
    base: bool = False,
) -> list[Example]:
    """One example a question, in order. Raises NothingConsistent if none got a label."""
    prompts, chosen = prompts_of(encoder, questions, study, base), [representative(r) for r in responses]

    @cache  # answers are often the same
    def within(ids: tuple[int, ...], thought: int, answer: str | None) -> list[int]:
        places = answer_positions(encoder, ids[thought:], None if answer is None else [answer])
        return [thought + place for place in places]

    answers = stated(encoder, questions, chosen, study)
    places = [within(tuple(c.ids), c.thought, a) for c, a in zip(chosen, answers, strict=True)]
    with gc_paused():
        examples = [build_example(*one) for one in zip(questions, prompts, responses, places, strict=True)]
    if all(e.label is None for e in examples):
        counts = dict(drop_counts(examples))
        raise NothingConsistent(f"none of {len(examples)} questions was answered consistently: {counts}")
    return examples


def stated(
    encoder: PromptEncoder, questions: Sequence[Question], chosen: Sequence[Response], study: Study
) -> list[str | None]:
    """The words of each question's representative response that state its answer, None for all of them.

    A chat model marks them if the study has one do so. Else all are read where half of the responses have no more than
    A_FEW tokens, as when a model answers only; and the first sentence where they have more, which is said once.
    """
    if study.judge_spans:
        asked = [(q.text, r.text) for q, r in zip(questions, chosen, strict=True)]
        return [found or "" for found in quoted_answers(asked, study)]
    if median(len(r.ids) - r.thought for r in chosen) <= A_FEW:
        return [None] * len(chosen)
    tell_once(
        f"{encoder.name} answers in more than {A_FEW} tokens, and judge_spans is not set: of each response the first "
        "sentence is read as its answer"
    )
    return [first_sentence(r.text) for r in chosen]
