"""What a Qwen3-VL keeps in memory for each token and patch at work, from its layers' widths. Loads nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ModelShape:
    """The widths that memory at work depends on.

    Attributes:
        layers, width, inner: Layers of the language model, their width, and that of their MLP.
        heads, key_heads, head_width: Heads of its attention, those that keys and values have, and the width of one.
        vocabulary: Tokens that it knows.
        tower_layers, tower_width, tower_inner: The same of the vision tower.
        levels: Rows of features for each image token: the embedding and one for each deepstack level.
    """

    layers: int
    width: int
    inner: int
    heads: int
    key_heads: int
    head_width: int
    vocabulary: int
    tower_layers: int
    tower_width: int
    tower_inner: int
    levels: int

    @classmethod
    def of(cls, config: Any) -> ModelShape:
        """Read a Qwen3-VL's transformers configuration."""
        text, vision = config.text_config, config.vision_config
        return cls(
            layers=text.num_hidden_layers,
            width=text.hidden_size,
            inner=text.intermediate_size,
            heads=text.num_attention_heads,
            key_heads=text.num_key_value_heads,
            head_width=text.head_dim,
            vocabulary=text.vocab_size,
            tower_layers=vision.depth,
            tower_width=vision.hidden_size,
            tower_inner=vision.intermediate_size,
            levels=1 + len(vision.deepstack_visual_indexes),
        )

    def kept_values(self) -> int:
        """Return how many keys and values one token keeps, over all layers."""
        return 2 * self.layers * self.key_heads * self.head_width

    def reading_values(self) -> int:
        """Return how many numbers one token of a judging pass needs at most at once.

        Keys and values of the prefixes and their copies for the pass; of one layer the states, queries, keys and values spread over
        all heads, and the MLP.
        """
        layer = 6 * self.width + 3 * self.inner + (3 * self.heads + 2 * self.key_heads) * self.head_width
        return 2 * self.kept_values() + layer

    def feature_values(self) -> int:
        """Return how many numbers the features of one image token are."""
        return self.levels * self.width
