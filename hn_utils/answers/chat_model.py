"""A chat model behind any OpenAI-compatible server: asked in parallel, retried, and never paid twice."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from hn_utils.answers.server import Refusal, Server
from hn_utils.answers.thoughts import without_thought
from hn_utils.storage.cache import LOOKING, NotKept, key_hash
from hn_utils.storage.ledger import Ledger
from hn_utils.storage.progress import tell, tell_once

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI

Messages = list[dict[str, str]]
CHARACTERS_PER_TOKEN = 4
_LIMITS = ("max_completion_tokens", "max_tokens")
ROOM = 2_000  # tokens for a model that thinks, whose thoughts the limit counts
_UNSUPPORTED = re.compile(r"unsupported|not supported|unrecognized|unknown|deprecated|only the default", re.IGNORECASE)


@dataclass(frozen=True)
class ChatModel(Server):
    """A served model that is asked with conversations.

    `price` is dollars per million tokens read and written, for the estimate that is shown before anything is sent.
    `options` are laid over the parameters of each request; None takes one out. Newer models want no max_tokens and no
    temperature: that is learnt from their refusal.
    """

    price: tuple[float, float] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def ask(
        self,
        talks: Sequence[Messages],
        accept: Callable[[int, str], str | None],
        max_tokens: int,
        attempts: int = 3,
        unreadable: int | None = None,
        **sampling: object,
    ) -> list[str | None]:
        """What `accept(index, reply)` makes of the reply to each conversation; None if it made nothing of any attempt.

        Equal conversations are sent once. Replies are kept as they arrive, under a key that names model and address, so
        a call that was cut short goes on where it stopped. A conversation that the server refuses (it may be too long)
        gets None, is counted, and is not sent again. Raises OSError if the server cannot be reached or turns everybody
        away, ValueError if it refuses every single conversation, or if nothing can be made of any of the first
        `unreadable` replies: then the settings are at fault.
        """
        about = {"model": self.name, "address": self.address, "max_tokens": max_tokens, "sampling": sampling}
        about |= {"options": self.options} if self.options else {}
        keys = [key_hash({**about, "talk": talk}) for talk in talks]
        first = {k: i for i, k in reversed(list(enumerate(keys)))}
        ledger = Ledger("chat-replies")
        try:
            refused = {k: words for k in first if (words := ledger.get(f"{k}/refused")) is not None}
            found: dict[str, str | None] = {}
            new: dict[str, str] = {}
            n_unread, some_read = 0, False
            for attempt in range(attempts):
                settings = {"max_tokens": max_tokens, "temperature": 0.0 if attempt == 0 else 0.7, **sampling}
                left = {k: talks[i] for k, i in first.items() if found.get(k) is None and k not in refused | new}
                with closing(self.replies(left, attempt, settings, ledger, new)) as replies:
                    for key, reply in replies:
                        found[key] = accept(first[key], without_thought(reply))
                        some_read = some_read or found[key] is not None
                        n_unread += 1
                        if n_unread == unreadable and not some_read:
                            raise self.unread(n_unread, reply, max_tokens)
            self.settle(len(first), len(found), refused, new, ledger)
        finally:
            ledger.close()
        return [found.get(key) for key in keys]

    def unread(self, n: int, reply: str, max_tokens: int) -> ValueError:
        """What is raised where nothing can be made of the first replies, with one of them."""
        short = reply if len(reply) <= 200 else f"{reply[:200]}…"
        return ValueError(
            f"judge={self.name!r} at {self.address}: none of its first {n} replies can be read, such as "
            f"{short!r}, and no more are asked for: name a model that keeps to its task or, if this one thinks before "
            f"it answers, give it more than {max_tokens} tokens, judge_options={{'max_tokens': {ROOM}}}"
        )

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
        self,
        talks: Mapping[str, Messages],
        attempt: int,
        settings: dict[str, object],
        ledger: Ledger,
        declined: dict[str, str],
    ) -> Generator[tuple[str, str]]:
        """Each key with its reply, first those that the ledger has, then others as they arrive; `declined` gets by key
        the server's words where it refused."""
        kept = {key: ledger.get(f"{key}/{attempt}") for key in talks}
        missing = {key: talk for key, talk in talks.items() if kept[key] is None}
        if missing and LOOKING.get():
            raise NotKept("judge", range(len(missing)), len(kept) - len(missing))
        for key, reply in kept.items():
            if reply is not None:
                yield key, reply
        if missing:
            tell(self.estimate(list(missing.values()), settings))
        jobs = {key: partial(self.send, talk, settings) for key, talk in missing.items()}
        for key, reply in self.each(jobs):
            if isinstance(reply, Refusal):
                declined[key] = reply.words
            else:
                ledger.put(f"{key}/{attempt}", reply)
                yield key, reply

    def body(self, settings: Mapping[str, object]) -> dict[str, object]:
        """The parameters of a request as they are sent: settings, what the server's refusals taught, options."""
        merged = {**settings, **self.learnt, **self.options}
        return {name: value for name, value in merged.items() if value is not None}

    def send(self, talk: Messages, settings: Mapping[str, object], client: OpenAI) -> str:
        from openai import APIStatusError

        while True:
            body = self.body(settings)
            try:
                reply = client.chat.completions.create(model=self.name, messages=talk, extra_body=body)  # type: ignore[arg-type]
                break
            except APIStatusError as error:
                if not self.learn(error, body):
                    raise
        if not getattr(reply, "choices", None) or reply.choices[0].message is None:
            raise ValueError("the server's reply holds no message")
        said = reply.choices[0].message.content or ""
        if not isinstance(said, str):
            raise ValueError("the server's reply holds no text")
        return self.without_key(said)

    def learn(self, error: APIStatusError, body: Mapping[str, object]) -> bool:
        """Is a parameter at fault that newer models do not take? Then it is left out, or named as they name it, from
        now on, which is told once."""
        if error.status_code not in (400, 422) or not _UNSUPPORTED.search(str(error)):
            return False
        blamed = getattr(error, "param", None)
        for name, instead in (("max_tokens", {"max_completion_tokens": ROOM}), ("temperature", {})):
            at_fault = blamed == name or (blamed is None and re.search(rf"\b{name}\b", str(error)))
            if name in body and name not in self.options and at_fault:
                self.learnt.update({name: None, **instead})
                told = "".join(f", but {other}={value}" for other, value in instead.items())
                tell_once(f"{self.name} at {self.address} takes no {name}: it is asked without it{told}")
                return True
        return False

    def estimate(self, talks: Sequence[Messages], settings: Mapping[str, object]) -> str:
        """What will be sent: requests, tokens (four characters each), dollars if the price is known."""
        read = sum(len(m["content"]) for talk in talks for m in talk) // CHARACTERS_PER_TOKEN
        body = self.body(settings)
        limit = next((n for name in _LIMITS if isinstance(n := body.get(name), int)), None)
        line = f"{self.name}: {len(talks):,} requests, about {read:,} tokens to read and"
        if limit is None:
            return f"{line} without a limit to write"
        written = len(talks) * limit
        line = f"{line} at most {written:,} to write"
        if self.price is None:
            return line
        return f"{line}, at most ${(read * self.price[0] + written * self.price[1]) / 1e6:.2f}"
