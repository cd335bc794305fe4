"""An OpenAI-compatible server: its address, the key that belongs to it, and many requests to it at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from hn_utils.storage.paths import set_to
from hn_utils.storage.progress import progress, tell_once
from hn_utils.study.addresses import OPENAI, address_of

if TYPE_CHECKING:
    from openai import OpenAI

_OF_ONE_REQUEST = {400, 413, 422}  # statuses that blame one request; 401, 403, 404, 429 and 5xx concern them all
K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


@dataclass(frozen=True)
class Refusal:
    """The server's words for not answering one request, which may be too long for its model, or against its policy."""

    words: str


@dataclass(frozen=True)
class Server:
    """A model by `name` behind the server at `url`; without it OPENAI_BASE_URL, or OpenAI's own.

    `retries` are made with growing pauses, honouring the server's Retry-After. `timeout` is in seconds.
    """

    name: str
    url: str | None = None
    concurrency: int = 8
    timeout: float = 120.0
    retries: int = 6
    learnt: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)  # from its refusals
    found: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)  # where it really is

    @property
    def address(self) -> str:
        return address_of(self.url)

    def each(self, jobs: Mapping[K, Callable[[OpenAI], T]]) -> Iterator[tuple[K, T | Refusal]]:
        """What each job brings back, or the server's refusal of it, as they arrive: `concurrency` of them at once.

        Raises OSError, after its retries and after all that is on its way has arrived, if the server cannot be reached
        or turns everybody away; ValueError if it needs a key and there is none.
        """
        if not jobs:
            return
        client, arrived, failure = self.client(), 0, None
        pool = ThreadPoolExecutor(self.concurrency)
        try:
            sent: dict[Future[T], K] = {pool.submit(self.sent, job, client): key for key, job in jobs.items()}
            for done in progress(self.name, len(sent), as_completed(sent)):
                if done.cancelled():
                    continue
                error = done.exception()
                if error is None:
                    arrived += 1
                    yield sent[done], done.result()
                elif getattr(error, "status_code", None) in _OF_ONE_REQUEST:
                    yield sent[done], Refusal(self.words(error))
                else:  # send nothing more, but keep what is on its way: it has been paid for
                    failure = failure or error
                    for waiting in sent:
                        waiting.cancel()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            client.close()
        if failure is not None:
            raise self.failed(failure, arrived, len(jobs)) from None  # the original may quote the key

    def sent(self, job: Callable[[OpenAI], T], client: OpenAI) -> T:
        """What a job brings back. Where the address has no path and the server knows nothing there, the protocol is
        looked for at /v1, where most servers have it; that it was found there is told once."""
        if "address" in self.found:
            return job(client.with_options(base_url=self.found["address"]))
        try:
            return job(client)
        except Exception as error:
            if getattr(error, "status_code", None) not in (404, 405) or urlsplit(self.address).path:
                raise
            there = f"{self.address}/v1"
            try:
                brought = job(client.with_options(base_url=there))
            except Exception as other:
                raise (error if getattr(other, "status_code", None) in (404, 405) else other) from None
            self.found["address"] = there
            tell_once(f"{self.address} is asked at {there}")
            return brought

    def client(self) -> OpenAI:
        from openai import OpenAI  # half a second to import, and seldom needed

        variable = key_variable(self.address)
        key = set_to(variable)
        if key is None and _origin(self.address) == _origin(address_of(OPENAI)):
            raise ValueError(f"model {self.name!r} at {self.address}: set {variable}, or judge_url to another server")
        client = OpenAI(
            api_key=key or "none",  # local servers ask for no key, but the client does
            base_url=self.address,
            timeout=self.timeout,
            max_retries=self.retries,
        )
        if variable != "OPENAI_API_KEY":  # nor is anything else sent there that the user set for her own address
            client.organization = client.project = None
            client._custom_headers = {}
        return client

    def words(self, error: BaseException) -> str:
        """An error in one line, without the key that a server may quote in it."""
        return self.without_key(" ".join(str(error).split()))[:300]

    def without_key(self, text: str) -> str:
        key = set_to(key_variable(self.address))
        return text.replace(key, "<key>") if key else text

    def failed(self, error: BaseException, arrived: int, n: int) -> OSError:
        variable, reason, remedy = (
            key_variable(self.address),
            self.words(error),
            "check the server and the model's name",
        )
        if getattr(error, "status_code", None) in (401, 403):  # some quote a part of the key
            reason, remedy = "the server wants a key", f"set {variable} to this server's key"
        return OSError(
            f"model {self.name!r} at {self.address} failed after {arrived} of {n} replies ({type(error).__name__}: "
            f"{reason}); replies are kept as they arrive: {remedy}, and run again"
        )


def _origin(address: str) -> tuple[str, str]:
    """Scheme, and host with port: what a key belongs to, whatever the path."""
    parts = urlsplit(address)
    return parts.scheme, parts.netloc


def key_variable(address: str) -> str:
    """The environment variable that holds the key of the server at an address, as `address_of` spells it.

    OPENAI_API_KEY belongs to the default address alone (OpenAI's, or the one that the user's own OPENAI_BASE_URL
    names), so that no study file can have it sent elsewhere. Any other server's is HN_KEY_<HOST>_<PORT> in capitals,
    where a dot becomes `_` and any other sign `__`: api.x.org and api-x.org share no key.
    """
    if _origin(address) == _origin(address_of(None)):
        return "OPENAI_API_KEY"
    parts = urlsplit(address)
    host = "".join("_" if c == "." else c.upper() if c.isalnum() else "__" for c in parts.hostname or "")
    return f"HN_KEY_{host}_{parts.port}"
