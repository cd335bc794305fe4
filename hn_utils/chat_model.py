"""A chat model behind any OpenAI-compatible server: asked in parallel, retried, and never paid twice."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

from tqdm.auto import tqdm

from hn_utils.cache import Ledger, key_hash

Messages = list[dict[str, str]]
CHARACTERS_PER_TOKEN = 4
THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True)
class ChatModel:
    """A served model by name. Without `url` the server is OpenAI's; the key is read from OPENAI_API_KEY.

    `price` is dollars per million tokens read and written, for the estimate that is shown before anything is sent.
    """

    name: str
    url: str | None = None
    price: tuple[float, float] | None = None
    concurrency: int = 8
    timeout: float = 120.0
    retries: int = 6  # with growing pauses, honouring the server's Retry-After
    key: Mapping[str, str] = field(default_factory=dict)  # what else decides a reply, such as the model's fingerprint

    def ask(
        self,
        talks: Sequence[Messages],
        accept: Callable[[int, str], str | None],
        max_tokens: int,
        attempts: int = 3,
        **sampling: object,
    ) -> list[str | None]:
        """What `accept(index, reply)` makes of the reply to each conversation; None if it made nothing of any attempt.

        Equal conversations are sent once. Replies are kept as they arrive, so a call that was cut short goes on where
        it stopped. Raises OSError if the server cannot be reached or refuses, after its retries.
        """
        found: dict[str, str | None] = {}
        about = {"model": self.name, "max_tokens": max_tokens, "sampling": sampling, **self.key}
        keys = [key_hash({**about, "talk": talk}) for talk in talks]
        open_talks, first = dict(zip(keys, talks, strict=True)), {k: i for i, k in reversed(list(enumerate(keys)))}
        ledger = Ledger("chat-replies")
        try:
            for attempt in range(attempts):
                settings = {"temperature": 0.0 if attempt == 0 else 0.7, **sampling}
                replies = self.replies(open_talks, attempt, max_tokens, settings, ledger)
                found |= {k: accept(first[k], THOUGHT.sub("", reply).strip()) for k, reply in replies.items()}
                open_talks = {k: t for k, t in open_talks.items() if found[k] is None}
        finally:
            ledger.close()
        return [found[key] for key in keys]

    def replies(
        self, talks: dict[str, Messages], attempt: int, max_tokens: int, settings: dict[str, object], ledger: Ledger
    ) -> dict[str, str]:
        """Replies by key, from the ledger where it has them."""
        kept = {key: ledger.get(f"{key}/{attempt}") for key in talks}
        missing = {key: talk for key, talk in talks.items() if kept[key] is None}
        replies = {key: reply for key, reply in kept.items() if reply is not None}
        if not missing:
            return replies
        tqdm.write(self.estimate(list(missing.values()), max_tokens))
        client = self.client()
        pool = ThreadPoolExecutor(self.concurrency)
        failure: BaseException | None = None
        try:
            sent: dict[Future[str], str] = {
                pool.submit(self.send, client, talk, max_tokens, settings): key for key, talk in missing.items()
            }
            for done in tqdm(as_completed(sent), total=len(sent), desc=self.name, leave=False):
                if done.cancelled():
                    continue
                if done.exception():  # send nothing more, but keep what is on its way: it has been paid for
                    failure = failure or done.exception()
                    for waiting in sent:
                        waiting.cancel()
                    continue
                key = sent[done]
                replies[key] = done.result()
                ledger.put(f"{key}/{attempt}", replies[key])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            client.close()
        if failure is not None:
            reason = f"{type(failure).__name__}: {' '.join(str(failure).split())[:300]}"
            raise OSError(
                f"chat model {self.name!r} at {client.base_url} failed ({reason}); the {len(replies)} of {len(talks)} "
                "replies that had arrived are kept: check the server, its name and your key, and run again"
            ) from failure
        return replies

    def client(self):
        from openai import OpenAI, OpenAIError  # half a second to import, and seldom needed

        try:
            # local servers ask for no key, but the client does
            key = "none" if self.url and "OPENAI_API_KEY" not in os.environ else None
            return OpenAI(api_key=key, base_url=self.url, timeout=self.timeout, max_retries=self.retries)
        except OpenAIError as error:
            raise ValueError(
                f"chat model {self.name!r}: {error}: set OPENAI_API_KEY, or judge_url to a server"
            ) from error

    def send(self, client, talk: Messages, max_tokens: int, settings: dict[str, object]) -> str:
        reply = client.chat.completions.create(model=self.name, messages=talk, max_tokens=max_tokens, **settings)
        if not getattr(reply, "choices", None) or reply.choices[0].message is None:
            raise ValueError("the server's reply holds no message")
        return reply.choices[0].message.content or ""

    def estimate(self, talks: Sequence[Messages], max_tokens: int) -> str:
        """What will be sent: requests, tokens (four characters each), dollars if the price is known."""
        read = sum(len(m["content"]) for talk in talks for m in talk) // CHARACTERS_PER_TOKEN
        written = len(talks) * max_tokens
        line = f"{self.name}: {len(talks):,} requests, about {read:,} tokens to read and at most {written:,} to write"
        if self.price is None:
            return line
        return f"{line}, at most ${(read * self.price[0] + written * self.price[1]) / 1e6:.2f}"
