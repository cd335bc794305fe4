"""A model's chat template: where a prompt begins, what opens and ends the assistant's turn, and whether it thinks."""

from __future__ import annotations

import re
from typing import Any

Messages = list[dict[str, str]]

# What templates that write the date are told, so that a prompt is the same tomorrow: it shadows such a function.
_FIXED_DATE = (
    "{%- macro strftime_now(form) -%}{{ {'%Y-%m-%d': '2024-07-26'}.get(form, '26 Jul 2024') }}{%- endmacro -%}"
)
_OPENED = re.compile(r"(?:<(?P<tag>think|thinking|thought|reasoning|seed:think)>|(?P<mark>\[THINK\])|◁think▷)\s*$")
MARK = re.compile(r"<.+>|\[.+\]|◁.+▷")  # how templates write their marks
_SAID = "Quillonstad"  # stands for a reply, to see what a template writes behind it


def template_of(tokenizer: Any) -> str:
    """The template that conversations are written by, empty if there is none; of several by name the default one.

    Raises ValueError if there are several and none is called default.
    """
    own = tokenizer.chat_template or ""
    if isinstance(own, str):
        return own
    named = own if isinstance(own, dict) else {one["name"]: one["template"] for one in own}
    if "default" not in named:
        raise ValueError(
            f"the tokenizer has chat templates called {', '.join(sorted(named))} and none called default: set "
            "tokenizer.chat_template to the one to be used"
        )
    return named["default"]


def written(tokenizer: Any, messages: Messages, opened: bool) -> str:
    """A conversation as the template writes it, with the opening of the assistant's turn if asked for."""
    return tokenizer.apply_chat_template(
        messages,
        tokenize=False,
        add_generation_prompt=opened,
        chat_template=_FIXED_DATE + template_of(tokenizer),
        enable_thinking=False,  # a template that knows no thinking ignores this
    )


def begins_texts(tokenizer: Any) -> bool:
    """Does the tokenizer itself put its begin token before every text?"""
    begin = tokenizer.bos_token_id
    return begin is not None and tokenizer("")["input_ids"][:1] == [begin]


def _lacks_begin(tokenizer: Any, prompt: str) -> bool:
    """Has a template left out the begin token that its tokenizer puts before every text?"""
    return begins_texts(tokenizer) and not prompt.lstrip().startswith(tokenizer.bos_token)


def closing(prompt: str) -> str:
    """What ends, still empty, the thought that a prompt opens; empty if it opens none."""
    found = _OPENED.search(prompt)
    if found is None:
        return ""
    tag = f"</{found['tag']}>" if found["tag"] else "[/THINK]" if found["mark"] else "◁/think▷"
    return f"\n\n{tag}\n\n"


def prompted(tokenizer: Any, messages: Messages) -> str:
    """The text of a conversation up to where the assistant answers: begun as the tokenizer begins texts, and with the
    thought that the template opens ended, so that what is written next is the answer."""
    text = written(tokenizer, messages, opened=True)
    if _lacks_begin(tokenizer, text):
        text = tokenizer.bos_token + text
    if close := closing(text):
        text = text.rstrip() + close
    return text


def turn_end(tokenizer: Any) -> int | None:
    """The special token that the template writes behind the assistant's turn; None if it writes none there, or cannot
    write such a conversation."""
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _SAID}]
    try:
        _, said, behind = written(tokenizer, talk, opened=False).rpartition(_SAID)
    except Exception:  # a template may raise what it likes
        return None
    if not said:
        return None
    special = marks(tokenizer)
    for token in tokenizer(behind, add_special_tokens=False)["input_ids"]:
        if token in special:
            return token
        if tokenizer.decode([token]).strip():
            return None
    return None


def marks(tokenizer: Any) -> set[int]:
    """The tokens that can end a turn: special ones, and added ones that are written like one; not what begins a text,
    or stands for what the vocabulary lacks."""
    added = {token for text, token in tokenizer.get_added_vocab().items() if MARK.fullmatch(text)}
    own = {*tokenizer.all_special_ids, *added} - {tokenizer.bos_token_id, tokenizer.unk_token_id}
    return own | {tokenizer.eos_token_id}  # of some models the same token begins and ends


def stops(tokenizer: Any, configured: int | list[int] | None) -> set[int]:
    """Every token that ends a reply: of the tokenizer, of the model's configuration, and of the template."""
    own = _named_ends(tokenizer, configured)
    if template_of(tokenizer) and (end := turn_end(tokenizer)) is not None:
        own.add(end)
    return own


def _named_ends(tokenizer: Any, configured: int | list[int] | None) -> set[int]:
    """The end tokens that tokenizer and configuration name."""
    return {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])} - {None}


def template_summary(tokenizer: Any, configured: int | list[int] | None, name: str) -> str:
    """What was found in the template, in one line.

    Raises ValueError if it begins a prompt twice, or ends it without opening the assistant's turn.
    """
    if not template_of(tokenizer):
        return "no chat template: asked as a base model"
    talk = [{"role": "user", "content": "a"}]
    plain, prompt = written(tokenizer, talk, opened=True), prompted(tokenizer, talk)
    row = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    begin, end = tokenizer.bos_token_id, turn_end(tokenizer)
    if begin is not None and row[:2] == [begin, begin]:
        raise ValueError(f"{name}: its chat template begins a prompt twice; expected once")
    last = tokenizer(prompt.rstrip(), add_special_tokens=False)["input_ids"][-1:]
    if end is not None and end != begin and last == [end]:
        raise ValueError(
            f"{name}: its chat template ends a prompt with {tokenizer.decode(last)!r} and opens no turn of the "
            "assistant: set a template that heeds add_generation_prompt"
        )
    found = [f"chat template present, begins a prompt with {tokenizer.decode(row[:1])!r}, once"]
    if _lacks_begin(tokenizer, plain):
        found.append("the template leaves it out, and it was put there, as the tokenizer begins every text with it")
    if close := closing(plain):
        found.append(f"a prompt opens a thought, which is ended, empty, with {close.strip()!r}")
    if end is None:
        found.append("no special token ends a turn of the assistant")
    elif end not in _named_ends(tokenizer, configured):
        found.append(f"a turn ends with {tokenizer.decode([end])!r}, which no eos_token_id names: replies stop there")
    return "; ".join(found)
