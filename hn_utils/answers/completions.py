"""The completions protocol: a finished prompt goes to a server, its continuations come back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from hn_utils.study import Sampling, check_types

if TYPE_CHECKING:
    from openai import OpenAI

    from hn_utils.models.prompt_encoder import PromptEncoder


class Prompt(NamedTuple):
    """A question as it is put: the ids that are read here, and the text whose tokens they are."""

    question: str
    ids: list[int]
    text: str


@dataclass(frozen=True)
class Draw:
    """One continuation as a server tells it; `n_read` counts the tokens of the prompt. Some tell no ids, no
    log-probabilities (nats), no count."""

    text: str
    ended: bool  # by itself, not by the limit
    ids: list[int] | None = None
    logprobs: list[float] | None = None
    n_read: int | None = None


@dataclass(frozen=True)
class Form:
    """One way to put a request. A `rich` one uses what vLLM adds to the protocol: top-k, no penalties, ids back."""

    name: str
    ids: bool = False
    rich: bool = False
    begin: str = ""  # what the server puts before a text by itself

    def request(self, prompt: Prompt, sampling: Sampling, n: int, seed: int) -> dict[str, Any]:
        rich = {"top_k": sampling.top_k, "repetition_penalty": 1.0, "return_token_ids": True}
        return {
            "prompt": prompt.ids if self.ids else prompt.text.removeprefix(self.begin),
            "n": n,
            "seed": seed,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "frequency_penalty": 0.0,  # some models ship penalties
            "extra_body": rich if self.rich else None,
        }


def forms(begin: str) -> list[Form]:
    """From the most exact to the plainest; `begin` is the text of the begin-of-text token, if prompts have one."""
    plain = [Form("token ids with top-k", ids=True, rich=True), Form("token ids", ids=True), Form("text")]
    return [*plain, Form("text without its begin token", begin=begin)] if begin else plain


def complete(model: str, request: dict[str, Any], client: OpenAI) -> list[Draw]:
    """The draws of one request, of which there may be fewer than asked for: some servers know no `n`."""
    reply = client.completions.create(model=model, **request)
    if not getattr(reply, "choices", None):
        raise ValueError("the server's reply holds no choices")
    n_read = reply.usage.prompt_tokens if reply.usage else None
    draws = [
        Draw(
            choice.text,
            choice.finish_reason == "stop",
            getattr(choice, "token_ids", None),
            choice.logprobs.token_logprobs if choice.logprobs else None,
            n_read,
        )
        for choice in sorted(reply.choices, key=lambda c: c.index)
    ]
    for drawn in draws:
        check_types(drawn)
    return draws


def ids_of(encoder: PromptEncoder, prompt: Prompt, drawn: Draw) -> list[int]:
    """A draw's ids, up to and with its end of turn.

    Where the server tells only text they are our tokens of it, read behind the prompt unless the first would melt into
    the prompt's last; a server that wrote other tokens for the same text is not noticed. The end of turn, which has no
    text, is then the one that the chat template writes.
    """
    ids = drawn.ids
    if ids is None:
        behind = encoder.tokenizer(prompt.text + drawn.text, add_special_tokens=False)["input_ids"]
        alone = encoder.tokenizer(drawn.text, add_special_tokens=False)["input_ids"]
        ids = behind[len(prompt.ids) :] if behind[: len(prompt.ids)] == prompt.ids else alone
    if not drawn.ended or (ids and ids[-1] in encoder.stop_ids):
        return ids
    talk = [{"role": role, "content": "a"} for role in ("user", "assistant")]
    return ids + [token for token in encoder.encode_chat(talk) if token in encoder.stop_ids][-1:]
