"""Responses drawn by a server that runs the very model that is read here: on the prompts that are read, after a check.

The server gets each finished prompt, as token ids where it takes them. A conversation would be put by the server's own
template, which may name another date, think aloud, or begin the text twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hn_utils.answers.asking import chats_of
from hn_utils.answers.completions import Draw, Form, Prompt, complete, forms, ids_of
from hn_utils.answers.server import Refusal, Server
from hn_utils.models.generation import Generated
from hn_utils.models.likelihoods import residuals_and_logprobs, token_logprobs
from hn_utils.storage.cache import key_hash
from hn_utils.storage.ledger import Ledger
from hn_utils.storage.progress import tell
from hn_utils.study import Sampling, Study

if TYPE_CHECKING:
    from hn_utils.models.hooked_model import HookedModel
    from hn_utils.questions.question import Question

N_CHECKED = 8  # prompts, of those that are to be sent
# Nats, for the mean over the checked tokens. bfloat16 keeps 8 bits of a number: it rounds logits between 16 and 32 to
# steps of 1/8, each by at most 1/16. The same model in another dtype, or on another machine, stays below that on
# average; another model is whole nats away wherever it would have written something else.
_TOLERANCE = 1 / 16
_GREEDY = Sampling(n=1, temperature=0.0)
_HOT = Sampling(n=1, temperature=2.0, top_k=10**6, top_p=1.0)  # the protocol's highest: who samples does not repeat


@dataclass
class Served:
    """The server of a study that runs this model: checked when it is first asked, then asked alone."""

    subject: HookedModel
    study: Study
    form: Form | None = None  # how to ask, once it is checked

    def __post_init__(self) -> None:
        self.server = Server(self.study.instruct, self.study.served_at)

    def generate(self, questions: Sequence[Question], prompts: Sequence[list[int]]) -> list[list[Generated]]:
        """`study.sampling.n` responses to each prompt, as `generation.generate` gives them, drawn at `study.served_at`.

        They depend on their prompt, the settings and the seed, not on what else is asked, and are kept as they arrive.
        Their log-probabilities are those of our own reading. Where the server knows no top-k, its own holds. Raises
        ValueError, before anything is drawn, if the server runs another model or does not sample; OSError if it cannot
        be reached.
        """
        subject, study, server, n = self.subject, self.study, self.server, self.study.sampling.n
        talks = chats_of(questions, study)
        asked = [
            Prompt(q.id, ids, subject.encoder.render(t)) for q, ids, t in zip(questions, prompts, talks, strict=True)
        ]
        about = {"address": server.address, "model": server.name, "fingerprint": subject.fingerprint}
        about |= {"seed": study.seed, "sampling": study.sampling}
        keys = [key_hash({**about, "prompt": prompt.ids}) for prompt in asked]
        by_key, ledger = dict(zip(keys, asked, strict=True)), Ledger("served-draws")
        try:
            while missing := {key: prompt for key, prompt in by_key.items() if len(kept(ledger, key)) < n}:
                self.form = self.form or _fitting_form(subject, server, list(missing.values()), study)
                draw(server, self.form, missing, study, ledger)
            return [read(subject, by_key[key], kept(ledger, key)[:n]) for key in keys]
        finally:
            ledger.close()


def kept(ledger: Ledger, key: str) -> list[Draw]:
    """The draws of one question that have arrived, each request's under the number of its first."""
    draws: list[Draw] = []
    while (more := ledger.get(f"{key}/{len(draws)}")) is not None:
        draws += [Draw(**drawn) for drawn in json.loads(more)]
    return draws


def draw(server: Server, form: Form, missing: Mapping[str, Prompt], study: Study, ledger: Ledger) -> None:
    """Ask once for what is missing of each question; a server that knows no `n` gives one draw, and is asked again.

    One prompt a request, since servers give all prompts of a request the same random numbers. Draw i has the seed of
    its question plus i, as servers that know `n` count them. Raises ValueError if a prompt is refused.
    """
    jobs = {}
    for key, prompt in missing.items():
        first = len(kept(ledger, key))
        seed = int(key_hash({"seed": study.seed, "prompt": prompt.ids})[:7], 16) + first
        request = form.request(prompt, study.sampling, study.sampling.n - first, seed)
        jobs[key, first] = partial(complete, server.name, request)
    refused = {}
    for (key, first), reply in server.each(jobs):
        if isinstance(reply, Refusal):
            refused[missing[key].question] = reply.words
        else:
            ledger.put(f"{key}/{first}", json.dumps([asdict(drawn) for drawn in reply]))
    if refused:
        raise ValueError(
            f"{server.address} refused {len(refused)} questions, which it must answer or be spared: {refused}"
        )


def read(subject: HookedModel, prompt: Prompt, draws: Sequence[Draw]) -> list[Generated]:
    """Draws as if our own model had made them. One question at a time, so that no other can change a digit."""
    written = [ids_of(subject.encoder, prompt, drawn) for drawn in draws]
    logprobs = [
        row[len(prompt.ids) - 1 :].tolist() for row in token_logprobs(subject, [prompt.ids + ids for ids in written])
    ]
    return [Generated(ids, lp, subject.encoder.decode(ids).strip()) for ids, lp in zip(written, logprobs, strict=True)]


# --- is it the same model? ------------------------------------------------------------------------------------------


def _fitting_form(subject: HookedModel, server: Server, asked: Sequence[Prompt], study: Study) -> Form:
    """How to ask so that the server reads our prompts as we do and writes what our model would.

    Forms are tried until one must be read as it is meant; of others, which a server may begin twice, the nearest wins.
    Raises ValueError if none fits, for then it runs another model, or if it does not sample.
    """
    some = [asked[i * len(asked) // N_CHECKED] for i in range(N_CHECKED)]  # of fewer some are asked again
    length = study.sampling.max_new_tokens
    begin = subject.encoder.tokenizer.bos_token or ""
    objections, fitting = [], []
    for form in forms(begin if begin and some[0].text.startswith(begin) else ""):
        said = replies(server, form, some, replace(_GREEDY, max_new_tokens=length))
        off, told = verdict(subject, some, said)
        if off > _TOLERANCE or isinstance(said, Refusal):
            objections.append(f"asked by {form.name}, {told}")
            continue
        fitting.append((off, form, told, said))
        if form.ids or said[0].n_read is not None:
            break
    if not fitting:
        raise ValueError(
            f"served_at={server.address} does not run {subject.name}, which is read here: {'; '.join(objections)}. "
            f"Serve this very model; number formats explain no more than {_TOLERANCE:.3f} nats"
        )
    _, form, told, said = min(fitting, key=lambda one: one[0])
    hot = replies(server, form, some, replace(_HOT, max_new_tokens=length))
    if study.sampling.temperature > 0 and texts(hot) == texts(said):
        raise ValueError(
            f"served_at={server.address} does not sample: at temperature {_HOT.temperature} it repeats its greedy "
            "answers. transformers serve does so unless the model's generation_config.json says do_sample"
        )
    tell(f"{server.address}: asked by {form.name}, {told}: it runs the model that is read here")
    return form


def replies(server: Server, form: Form, some: Sequence[Prompt], sampling: Sampling) -> list[Draw] | Refusal:
    """One draw for each prompt, with log-probabilities if the server tells them, or its first refusal."""
    jobs = {}
    for i, prompt in enumerate(some):
        request = {**form.request(prompt, sampling, n=1, seed=i), "logprobs": 1}
        jobs[i] = partial(complete, server.name, request)
    found: dict[int, Draw] = {}
    for i, reply in server.each(jobs):
        if isinstance(reply, Refusal):
            return reply
        found[i] = reply[0]
    return [found[i] for i in range(len(some))]


def texts(said: list[Draw] | Refusal) -> list[str] | None:
    return None if isinstance(said, Refusal) else [drawn.text for drawn in said]


def verdict(subject: HookedModel, some: Sequence[Prompt], said: list[Draw] | Refusal) -> tuple[float, str]:
    """How far a server's greedy replies are from our model, mean nats per token, and in words what was compared."""
    if isinstance(said, Refusal):
        return np.inf, f"it refuses ({said.words})"
    for prompt, drawn in zip(some, said, strict=True):
        if drawn.n_read not in (None, len(prompt.ids)):
            return np.inf, f"it reads {drawn.n_read} tokens where we read {len(prompt.ids)}"
    apart = np.concatenate([_distances(subject, prompt, drawn) for prompt, drawn in zip(some, said, strict=True)])
    by = "log-probability" if all(drawn.logprobs for drawn in said) else "what our model holds likeliest"
    return float(apart.mean()), f"its {len(apart)} greedy tokens are {apart.mean():.3f} nats off in {by}"


def _distances(subject: HookedModel, prompt: Prompt, drawn: Draw) -> Float[np.ndarray, "pos"]:
    """How far a server's greedy tokens are from our model's, nats: by the log-probabilities that it tells, or else by
    how much less likely than our own choice our model holds each of them."""
    ids = ids_of(subject.encoder, prompt, drawn)
    places = range(len(prompt.ids) - 1, len(prompt.ids) + len(ids) - 1)
    ((_, predicted),) = residuals_and_logprobs(subject, [prompt.ids + ids], [places])
    logprobs = predicted.cpu().numpy()
    chosen = logprobs[np.arange(len(ids)), ids]
    if drawn.logprobs is None or abs(len(drawn.logprobs) - len(ids)) > 1:  # the end of turn is not always told
        return logprobs.max(1) - chosen
    n = min(len(drawn.logprobs), len(ids))
    return np.abs(np.array(drawn.logprobs[:n]) - chosen[:n])
