"""How sure is a model of the true answer among rivals of its kind? A smooth outcome for methods that steer or follow
gradients.

The letters of a multiple-choice question are beyond a model of two million parameters. So options are values of the
world: the truth and others of the same kind, told apart by their first token.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from hn_utils.answers.examples import Example
    from hn_utils.contributions.collected import Collected
    from hn_utils.models.hooked_model import HookedModel


@dataclass(frozen=True)
class Options:
    """Questions with their options: the first option of each proxy question is the true one.

    Attributes:
        examples: the questions, as they were put, with what else is known of them.
        tokens: the options' first tokens, [question, proxy, option].
    """

    examples: list[Example]
    tokens: Int[np.ndarray, "question proxy option"]

    @property
    def prompts(self) -> list[list[int]]:
        """Token ids of each question, up to where the answer begins."""
        return [example.prompt_ids for example in self.examples]


def options_of(
    collected: Collected, split: str, n_questions: int, n_proxies: int, n_rivals: int = 3, seed: int = 0
) -> Options | None:
    """Draw proxy questions: the truth among rivals of its kind, once in each proxy.

    Args:
        collected: the answers whose standard questions are put.
        split: train, validation or test.
        n_questions: questions at most.
        n_proxies: proxies of each question, with other rivals each.
        n_rivals: rivals in a proxy.
        seed: of the draws.

    Returns:
        The questions with their options. Rivals are true answers of other questions of the same attribute, where
        questions name one, and begin with another token than the truth. None if no question of the split has enough
        of them.
    """
    encoder = collected.subject.encoder
    asked = [e for e in collected.examples if e.question.part == "standard" and e.question.aliases]
    first = [ids[0] for ids in encoder.tokenize([e.question.aliases[0] for e in asked])]
    pools: dict[object, set[int]] = defaultdict(set)
    for example, token in zip(asked, first, strict=True):
        pools[example.question.strata.get("attribute")].add(token)
    rng = np.random.default_rng(seed)
    chosen: list[Example] = []
    tokens: list[np.ndarray] = []
    for i in rng.permutation(len(asked)).tolist():
        rivals = sorted(pools[asked[i].question.strata.get("attribute")] - {first[i]})
        if asked[i].question.split != split or len(rivals) < n_rivals:
            continue
        drawn = np.stack([rng.choice(rivals, n_rivals, replace=False) for _ in range(n_proxies)])  # [proxy, rival]
        chosen.append(asked[i])
        tokens.append(np.concatenate([np.full((n_proxies, 1), first[i]), drawn], axis=1))
        if len(chosen) == n_questions:
            break
    return Options(chosen, np.stack(tokens)) if chosen else None


def truth_share(
    logits: Float[Tensor, "question vocab"], tokens: Int[np.ndarray, "question proxy option"]
) -> Float[Tensor, "question proxy"]:
    """Probability of the truth among the options.

    Args:
        logits: of the token that follows each question.
        tokens: the options' first tokens, the true one first.

    Returns:
        Shares from 0 to 1; one over the number of options is guessing. Gradients flow through it.
    """
    options = torch.as_tensor(tokens, device=logits.device)
    of_options = logits[:, None].expand(-1, options.shape[1], -1).gather(2, options)  # [question, proxy, option]
    return of_options.softmax(-1)[..., 0]


def last_logits(model: HookedModel, rows: Sequence[Sequence[int]]) -> Float[Tensor, "row vocab"]:
    """Logits of the token that follows each row, through which gradients flow. Rows are padded on the left, so that the
    last token stands at the last position.

    Args:
        model: the model, with whatever hooks there are.
        rows: token ids of each row, all read at once.

    Returns:
        Logits in float32.
    """
    ids, mask = model.encoder.pad(rows, "left", model.device)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    out = model.model(input_ids=ids, attention_mask=mask, position_ids=places, use_cache=False)
    return out.logits[:, -1].float()


@torch.inference_mode()
def mean_truth_share(model: HookedModel, options: Options) -> float:
    """How sure a model is of the truth, on average over questions and proxies.

    Args:
        model: the model, with whatever is scaled.
        options: the questions.

    Returns:
        A share from 0 to 1.
    """
    shares: list[Tensor] = []
    for piece in model.pieces(options.prompts):
        shares.append(truth_share(last_logits(model, options.prompts[piece]), options.tokens[piece]))
    return float(torch.cat(shares).mean())
