"""How a question is put to a model: in the study's words, behind its examples, and where the answer ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hn_utils.models.prompt_encoder import Messages, PromptEncoder
    from hn_utils.questions.question import Question
    from hn_utils.study import Study


def chat_about(study: Study, said: str) -> Messages:
    """A conversation up to the user's first words.

    Args:
        study: its `examples` stand first, asked by its `chat_prompt` as questions are.
        said: what the user says.

    Returns:
        The messages, for `PromptEncoder.encode_chats`.
    """
    turns: Messages = []
    for question, answer in study.examples:
        turns.append({"role": "user", "content": study.chat_prompt.format(question=question)})
        turns.append({"role": "assistant", "content": answer})
    return [*turns, {"role": "user", "content": said}]


def chats_of(questions: Sequence[Question], study: Study) -> list[Messages]:
    """Each question as the conversation in which the study asks it."""
    return [chat_about(study, study.chat_prompt.format(question=q.text)) for q in questions]


def prompts_of(
    encoder: PromptEncoder, questions: Sequence[Question], study: Study, base: bool = False
) -> list[list[int]]:
    """Token ids of questions as they are put to a model: by its chat template, or as plain text.

    Args:
        encoder: of the model that is asked.
        questions: what is asked.
        study: its words and its examples.
        base: whether the model is asked as a base model. One without a chat template always is.

    Returns:
        One list of ids a question.
    """
    if as_base(encoder, base):
        return encoder.encode_texts([_plain_text(study, q.text) for q in questions])
    return encoder.encode_chats(chats_of(questions, study))


def stop_of(encoder: PromptEncoder, study: Study, base: bool = False) -> str:
    """The text at which a model's answer to a question ends; empty if only its own end of turn ends it."""
    return study.base_stop if as_base(encoder, base) else study.chat_stop


def as_base(encoder: PromptEncoder, base: bool) -> bool:
    """Whether a model is asked as a base model: where that is wanted, or it has no chat template."""
    return base or not encoder.has_template


def _plain_text(study: Study, question: str) -> str:
    """A question as a base model is asked it, behind the examples; each of their answers ends as its own should."""
    shown = [f"{study.base_prompt.format(question=q)} {answer}{study.base_stop}" for q, answer in study.examples]
    return "".join([*shown, study.base_prompt.format(question=question)])
