"""A small server of the completions protocol on a real model, which differs from the best of its kind where it is told.

It follows OpenAI's reference and, if `rich`, vLLM's additions: prompts as text or token ids, one or several; `n` draws
with the seeds seed, seed + 1, ...; log-probabilities before temperature; fields that it does not know are refused.
"""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from transformers import AutoModelForCausalLM, AutoTokenizer

KNOWN = {"model", "prompt", "n", "seed", "temperature", "top_p", "max_tokens", "logprobs", "frequency_penalty", "stop"}
RICH = {"top_k", "repetition_penalty", "return_token_ids"}


@dataclass
class CompletionServer:
    """Serves the model in `folder` while the `with` block runs. `seen` are the bodies of its requests."""

    folder: str | Path
    dtype: torch.dtype = torch.float32
    rich: bool = True
    takes_ids: bool = True
    begins_text: bool = True  # as most do: the tokenizer's begin token goes before a text
    begins_ids: bool = False  # and as none should
    tells_logprobs: bool = True
    tells_usage: bool = True
    knows_n: bool = True
    samples: bool = True
    dies_after: int | None = None  # requests
    seen: list[dict[str, Any]] = field(default_factory=list)

    def __enter__(self) -> CompletionServer:
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
        self.model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=self.dtype)
        stops = self.model.generation_config.eos_token_id
        self.stops = set(stops if isinstance(stops, list) else [stops])
        app = FastAPI()
        app.post("/v1/completions")(self.complete)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        self.server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()

    async def complete(self, request: Request) -> dict[str, Any]:
        body = await request.json()
        self.seen.append(body)
        if self.dies_after is not None and len(self.seen) > self.dies_after:
            raise HTTPException(404, "gone")
        unknown = body.keys() - KNOWN - (RICH if self.rich else set())
        if unknown:
            raise HTTPException(400, f"Unrecognized request arguments supplied: {', '.join(sorted(unknown))}")
        prompts = self.prompts(body["prompt"])
        n = body.get("n", 1) if self.knows_n else 1
        choices = [self.choice(ids, body, i) for ids in prompts for i in range(n)]
        for i, choice in enumerate(choices):
            choice["index"] = i
        reply = {"id": "cmpl-1", "object": "text_completion", "created": 0, "model": body["model"]}
        if self.tells_usage:
            reply["usage"] = {"prompt_tokens": sum(map(len, prompts)), "completion_tokens": 0, "total_tokens": 0}
        return {**reply, "choices": choices[::-1]}  # their order is told by their index

    def prompts(self, given: Any) -> list[list[int]]:
        several = given if isinstance(given, list) and not all(isinstance(i, int) for i in given) else [given]
        if not self.takes_ids and not all(isinstance(prompt, str) for prompt in several):
            raise HTTPException(400, "prompt must be a string")
        begin, read = [self.tokenizer.bos_token_id], []
        for prompt in several:
            if isinstance(prompt, str):
                read.append(begin * self.begins_text + self.tokenizer(prompt, add_special_tokens=False)["input_ids"])
            else:
                read.append(begin * self.begins_ids + prompt)
        return read

    @torch.inference_mode()
    def choice(self, prompt: list[int], body: dict[str, Any], index: int) -> dict[str, Any]:
        dice = torch.Generator().manual_seed(body.get("seed", 0) + index)
        ids, told = list(prompt), []
        while len(ids) < len(prompt) + body.get("max_tokens", 16) and (not told or ids[-1] not in self.stops):
            logprobs = self.model(torch.tensor([ids])).logits[0, -1].float().log_softmax(-1)
            ids.append(self.drawn(logprobs, body, dice))
            told.append(float(logprobs[ids[-1]]))
        written = ids[len(prompt) :]
        tokens = self.tokenizer.convert_ids_to_tokens(written)
        wants = self.tells_logprobs and body.get("logprobs") is not None
        return {
            "text": self.tokenizer.decode(written, skip_special_tokens=True),
            "finish_reason": "stop" if written[-1] in self.stops else "length",
            "logprobs": {"tokens": tokens, "token_logprobs": told} if wants else None,
            **({"token_ids": written} if body.get("return_token_ids") else {}),
        }

    def drawn(self, logprobs: torch.Tensor, body: dict[str, Any], dice: torch.Generator) -> int:
        if not self.samples or body.get("temperature", 1.0) == 0:
            return int(logprobs.argmax())
        ordered, order = (logprobs / body.get("temperature", 1.0)).softmax(-1).sort(descending=True)
        ordered[body.get("top_k") or len(ordered) :] = 0
        ordered[ordered.cumsum(0) - ordered > body.get("top_p", 1.0) * ordered.sum()] = 0
        return int(order[torch.multinomial(ordered, 1, generator=dice)])
