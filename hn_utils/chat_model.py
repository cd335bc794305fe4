"""A chat model behind any OpenAI-compatible server: asked in parallel, retried, and never paid twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hn_utils.cache import LOOKING, NotKept, key_hash
from hn_utils.ledger import Ledger
from hn_utils.progress import tell
from hn_utils.server import Refusal, Server

if TYPE_CHECKING:
    from openai import OpenAI

Messages = list[dict[str, str]]
CHARACTERS_PER_TOKEN = 4
THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)


@dataclass(frozen=True)
class ChatModel(Server):
    """A served model that is asked with conversations.

    `price` is dollars per million tokens read and written, for the estimate that is shown before anything is sent.
    """

    price: tuple[float, float] | None = None

    def ask(
        self,
        talks: Sequence[Messages],
        accept: Callable[[int, str], str | None],
        max_tokens: int,
        attempts: int = 3,
        **sampling: object,
    ) -> list[str | None]:
        """What `accept(index, reply)` makes of the reply to each conversation; None if it made nothing of any attempt.

        Equal conversations are sent once. Replies are kept as they arrive, under a key that names model and address, so
        a call that was cut short goes on where it stopped. A conversation that the server refuses (it may be too long)
        gets None, is counted, and is not sent again. Raises OSError if the server cannot be reached or turns everybody
        away, ValueError if it refuses every single conversation: then the settings are at fault.
        """
        about = {"model": self.name, "address": self.address, "max_tokens": max_tokens, "sampling": sampling}
        keys = [key_hash({**about, "talk": talk}) for talk in talks]
        first = {k: i for i, k in reversed(list(enumerate(keys)))}
        ledger = Ledger("chat-replies")
        try:
            refused = {k: words for k in first if (words := ledger.get(f"{k}/refused")) is not None}
            found: dict[str, str | None] = {}
            new: dict[str, str] = {}
            for attempt in range(attempts):
                settings = {"temperature": 0.0 if attempt == 0 else 0.7, **sampling}
                left = {k: talks[i] for k, i in first.items() if found.get(k) is None and k not in refused | new}
                replies, declined = self.replies(left, attempt, max_tokens, settings, ledger)
                found |= {k: accept(first[k], THOUGHT.sub("", reply).strip()) for k, reply in replies.items()}
                new |= declined
            self.settle(len(first), len(found), refused, new, ledger)
        finally:
            ledger.close()
        return [found.get(key) for key in keys]

    def settle(
        self, n: int, n_answered: int, refused: Mapping[str, str], new: Mapping[str, str], ledger: Ledger
    ) -> None:
        """Keep the new refusals, and say how many there are; where nothing was answered they are no single items'."""
        words = next(iter([*new.values(), *refused.values()]), "")
        if new and not n_answered:
            raise ValueError(
                f"model {self.name!r} at {self.address} refused every request ({words}): check the model's name and "
                "the settings of the judge"
            )
        for key, reason in new.items():
            ledger.put(f"{key}/refused", reason)
        if refused or new:
            some = len(refused) + len(new)
            tell(f"{self.name}: {some:,} of {n:,} requests were refused and stay without a verdict ({words})")

    def replies(
        self, talks: Mapping[str, Messages], attempt: int, max_tokens: int, settings: dict[str, object], ledger: Ledger
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Replies by key, from the ledger where it has them, and by key the server's words where it refused."""
        kept = {key: ledger.get(f"{key}/{attempt}") for key in talks}
        missing = {key: talk for key, talk in talks.items() if kept[key] is None}
        replies = {key: reply for key, reply in kept.items() if reply is not None}
        declined: dict[str, str] = {}
        if missing and LOOKING.get():
            raise NotKept("judge", range(len(missing)), len(replies))
        if missing:
            tell(self.estimate(list(missing.values()), max_tokens))
        jobs = {key: partial(self.send, talk, max_tokens, settings) for key, talk in missing.items()}
        for key, reply in self.each(jobs):
            if isinstance(reply, Refusal):
                declined[key] = reply.words
            else:
                replies[key] = reply
                ledger.put(f"{key}/{attempt}", reply)
        return replies, declined

    def send(self, talk: Messages, max_tokens: int, settings: dict[str, object], client: OpenAI) -> str:
        reply = client.chat.completions.create(model=self.name, messages=talk, max_tokens=max_tokens, **settings)  # type: ignore[call-overload]
        if not getattr(reply, "choices", None) or reply.choices[0].message is None:
            raise ValueError("the server's reply holds no message")
        said = reply.choices[0].message.content or ""
        if not isinstance(said, str):
            raise ValueError("the server's reply holds no text")
        return self.without_key(said)

    def estimate(self, talks: Sequence[Messages], max_tokens: int) -> str:
        """What will be sent: requests, tokens (four characters each), dollars if the price is known."""
        read = sum(len(m["content"]) for talk in talks for m in talk) // CHARACTERS_PER_TOKEN
        written = len(talks) * max_tokens
        line = f"{self.name}: {len(talks):,} requests, about {read:,} tokens to read and at most {written:,} to write"
        if self.price is None:
            return line
        return f"{line}, at most ${(read * self.price[0] + written * self.price[1]) / 1e6:.2f}"
