"""From a language model's last hidden states to the log-probabilities of its answers, without the rounding of its number format.

bfloat16 keeps 8 significant bits, so logits near 20 are rounded to steps of 0.125: margins between yes and no then take few values,
and some answers change sides. The answers' own logits are therefore computed in float32; the rest of the vocabulary only has to
add up to what is left of the probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def answer_log_probs(head: Any, states: Tensor, answers: Sequence[Sequence[int]]) -> Tensor:
    """Return how likely each answer is as the next token.

    Args:
        head: The model's last layer, from hidden states to logits.
        states: (N, width) hidden states of the last tokens, in the model's number format.
        answers: Token ids of each answer's spellings.

    Returns:
        (N, answers) float32 log-probabilities. Gradients flow through them.
    """
    return log_probs_of(head(states), answers, head=head, states=states)


def log_probs_of(logits: Tensor, answers: Sequence[Sequence[int]], *, head: Any = None, states: Tensor | None = None) -> Tensor:
    """Return the same from logits, (N, vocabulary), and from the hidden states that they were computed from, where known."""
    whole = logits.float()
    if states is not None and logits.dtype != torch.float32:
        ids = torch.tensor(list(dict.fromkeys(token for tokens in answers for token in tokens)), device=logits.device)
        exact = _exact_logits(head, states, ids)
        whole = whole if exact is None else whole.index_copy(1, ids, exact)
    logs = whole.log_softmax(dim=-1)
    return torch.stack([logs[:, list(tokens)].logsumexp(dim=-1) for tokens in answers], dim=-1)


def ask_for_log_probs(model: Any, inputs: Any, answers: Sequence[Sequence[int]]) -> Tensor:
    """Run any image-text-to-text model of transformers on left-padded inputs; returns (rows, answers) float32 log-probabilities."""
    head = model.get_output_embeddings()
    seen: dict[str, Tensor] = {}

    def remember(_layer: Any, given: tuple[Tensor, ...], output: Tensor) -> None:
        seen.update(states=given[0], logits=output)

    hook = None if head is None else head.register_forward_hook(remember)
    try:
        logits: Tensor = model(**inputs, logits_to_keep=1, use_cache=False).logits[:, -1]
    finally:
        if hook is not None:
            hook.remove()
    # Some architectures scale or cap what their last layer gives; their logits stay as they are.
    is_plain = bool(seen) and torch.equal(seen["logits"][:, -1], logits)
    return log_probs_of(logits, answers, head=head, states=seen["states"][:, -1] if is_plain else None)


def _exact_logits(head: Any, states: Tensor, ids: Tensor) -> Tensor | None:
    """Return the logits of some tokens, (N, ids) float32; None for a layer whose weights are stored in less than numbers."""
    if type(head) is torch.nn.Linear:
        bias: Tensor | None = getattr(head, "bias", None)
        return torch.nn.functional.linear(states.float(), head.weight[ids].float(), None if bias is None else bias[ids].float())
    weights: dict[str, Tensor] = dict(head.named_parameters())
    if not all(weight.is_floating_point() for weight in weights.values()):
        return None
    # A layer with an adapter around it: rare, so the whole layer is computed in float32.
    exact: Tensor = torch.func.functional_call(head, {name: weight.float() for name, weight in weights.items()}, (states.float(),))
    return exact[:, ids]
