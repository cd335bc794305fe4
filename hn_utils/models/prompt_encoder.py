"""From text to token ids and back: a tokenizer with its chat template, and no weights."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PretrainedConfig

from hn_utils.models import templates

Messages = list[dict[str, str]]  # a conversation: {"role": "user" or "assistant", "content": its text} a turn


class PromptEncoder:
    """How text is put to one model: its tokenizer, its chat template, and the tokens that end its turn.

    Attributes:
        tokenizer: the model's own fast tokenizer.
        name: the model's name, for messages.
        configured_ends: the end-of-turn ids that the model's configuration names: one, several or none.
    """

    def __init__(
        self, tokenizer: Any, name: str, config: PretrainedConfig, configured_ends: int | list[int] | None
    ) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.configured_ends = configured_ends
        self._config = config
        self._containing: dict[str, set[int]] = {}

    @property
    def has_template(self) -> bool:
        """Whether there is a chat template; a base model has none.

        Raises:
            ValueError: if there are several by name, and none is called default.
        """
        return bool(templates.template_of(self.tokenizer))

    def render(self, messages: Messages) -> str:
        """The text of a conversation by the chat template, up to where the assistant's turn begins.

        Args:
            messages: the conversation, its last turn the user's.

        Returns:
            The text, with its begin token where the tokenizer begins texts so, and with an opened thought ended.

        Raises:
            ValueError: if there is no chat template.
        """
        if not self.has_template:
            raise ValueError(f"{self.name} has no chat template: use model.encoder.encode_texts, as for a base model")
        return templates.prompted(self.tokenizer, messages)

    def encode_chats(self, conversations: Sequence[Messages]) -> list[list[int]]:
        """Token ids of conversations, each written by the chat template.

        Args:
            conversations: messages of each, as for `render`.

        Returns:
            One list of ids a conversation, up to where the assistant's turn begins.

        Raises:
            ValueError: if there is no chat template.
        """
        return self.tokenize([self.render(messages) for messages in conversations])

    def encode_chat(self, messages: Messages) -> list[int]:
        """Token ids of one conversation; see `encode_chats`."""
        return self.encode_chats([messages])[0]

    def encode_questions(self, questions: Sequence[str]) -> list[list[int]]:
        """Token ids of conversations that hold one turn: what the user asks.

        Args:
            questions: the whole text of each user turn.

        Returns:
            One list of ids a question, up to where the assistant's turn begins.

        Raises:
            ValueError: if there is no chat template.
        """
        return self.encode_chats([[{"role": "user", "content": question}] for question in questions])

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of plain texts, as a base model is prompted: no template.

        Args:
            texts: the texts, such as a filled-in `study.base_prompt`.

        Returns:
            One list of ids a text, begun with a begin-of-text token if the tokenizer itself begins texts so.
        """
        begin = [self.tokenizer.bos_token_id] if templates.begins_texts(self.tokenizer) else []
        return [begin + ids for ids in self.tokenize(texts)]

    def encode_text(self, text: str) -> list[int]:
        """Token ids of one plain text; see `encode_texts`."""
        return self.encode_texts([text])[0]

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts alone, without begin or end tokens.

        Args:
            texts: any texts.

        Returns:
            One list of ids a text.
        """
        return self.tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out, blanks as they were written."""
        return self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def word(self, token: int) -> str:
        """One token's text, without the blanks around it; the token's name if it has no text.

        Args:
            token: its id.

        Returns:
            A text to be shown.
        """
        return self.decode([token]).strip() or str(self.tokenizer.convert_ids_to_tokens(token))

    def pad(
        self, rows: Sequence[Sequence[int]], side: Literal["left", "right"], device: torch.device | str = "cpu"
    ) -> tuple[Int[Tensor, "batch pos"], Int[Tensor, "batch pos"]]:
        """Rows of token ids as one batch, the short ones filled up.

        Args:
            rows: token ids of each row, at least one row and one id in each.
            side: where short rows are filled up: on the "left" to go on writing, on the "right" to read.
            device: where the tensors lie.

        Returns:
            Ids, and the attention mask: 1 where a token of the row stands, 0 on padding.

        Raises:
            ValueError: if there is no row, a row is empty, or an id is none that the model knows.
        """
        size = self.vocabulary_size
        if wrong := [row for row in rows if not len(row) or not 0 <= min(row) <= max(row) < size] or not len(rows):
            raise ValueError(f"rows must hold token ids from 0 to {size - 1}, at least one each, unlike {wrong}")
        width = max(len(row) for row in rows)
        ids = torch.full((len(rows), width), self.pad_id)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for i, row in enumerate(rows):
            place = slice(width - len(row), width) if side == "left" else slice(0, len(row))
            ids[i, place] = torch.tensor(row)
            mask[i, place] = 1
        return ids.to(device), mask.to(device)

    @property
    def vocabulary_size(self) -> int:
        """How many tokens the model knows; its tokenizer may name more, or fewer."""
        return self._config.get_text_config().vocab_size

    @property
    def pad_id(self) -> int:
        """The id that fills up short rows; it is always masked, so any that the model knows will do."""
        candidates = [self.tokenizer.pad_token_id, *sorted(self.stop_ids), 0]
        return next(token for token in candidates if token is not None and 0 <= token < self.vocabulary_size)

    @cached_property
    def stop_ids(self) -> set[int]:
        """The ids that end a response: of the tokenizer, of the model's configuration, and of the chat template."""
        return templates.stops(self.tokenizer, self.configured_ends)

    def tokens_containing(self, text: str) -> set[int]:
        """The ids of all tokens in whose text `text` stands, such as the line break that ends a base model's answer.

        Args:
            text: what to look for; of an empty text no token counts.

        Returns:
            The ids. A `text` that is spread over several tokens is found in none.
        """
        if text and text not in self._containing:
            ids = range(len(self.tokenizer))
            words = self.tokenizer.batch_decode([[i] for i in ids], clean_up_tokenization_spaces=False)
            self._containing[text] = {i for i, word in zip(ids, words, strict=True) if text in word}
        return self._containing.get(text, set())
