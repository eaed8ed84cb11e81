"""Model shapes: what a model's config.json says about its weights, its KV cache and its arithmetic.

Knows three kinds of decoder: dense, mixture of experts with grouped-query attention, and multi-head latent attention
(MLA, as in DeepSeek). `parse_config` reads a Hugging Face config.json; a table of known models ships as such configs.
Sources: the config.json of each model's repository; DeepSeek-V2 (arXiv 2405.04434) for MLA.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

from penstock.errors import InputError

Kind = Literal["dense", "moe", "mla"]
_TABLE = Path(__file__).parent / "data" / "models.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mla:
    """Ranks and widths of multi-head latent attention. `q_rank` 0: queries are not compressed."""

    q_rank: int
    kv_rank: int
    rope_dim: int
    nope_dim: int
    v_dim: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """Sizes of a decoder-only model; names as in config.json, shortened.

    Args:
        name: of the model or of another of the same shape; what a calibration is filed under.
        dense_width: inner width of the feed-forward part, where a layer has no experts.
        moe_layers, experts, experts_per_token, expert_width: the layers with experts, and their experts.
        shared_width: inner width of what every token of such a layer computes besides its experts.
        window, window_layers: layers whose attention reaches back `window` tokens only.
        mxfp4: the experts' weights have 4 bits and everything else 16, as published.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    dense_width: int
    vocab: int
    tied_embeddings: bool = False
    moe_layers: int = 0
    experts: int = 0
    experts_per_token: int = 0
    expert_width: int = 0
    shared_width: int = 0
    window: int = 0
    window_layers: int = 0
    mla: Mla | None = None
    mxfp4: bool = False

    @property
    def kind(self) -> Kind:
        """The kind of block, as far as launching it takes time of its own."""
        return "mla" if self.mla else "moe" if self.moe_layers else "dense"

    @property
    def attention_params(self) -> int:
        """Weights of the attention of one layer."""
        if self.mla is None:
            return self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)
        mla = self.mla
        per_query = mla.nope_dim + mla.rope_dim
        query = (
            (self.hidden + self.heads * per_query) * mla.q_rank if mla.q_rank else self.hidden * self.heads * per_query
        )
        key_value = self.hidden * (mla.kv_rank + mla.rope_dim) + mla.kv_rank * self.heads * (mla.nope_dim + mla.v_dim)
        return query + key_value + self.heads * mla.v_dim * self.hidden

    @property
    def common_params(self) -> int:
        """Weights that every token passes, embeddings and output head apart."""
        moe = self.moe_layers * self.hidden * (3 * self.shared_width + self.experts)
        dense = (self.layers - self.moe_layers) * 3 * self.hidden * self.dense_width
        return self.layers * self.attention_params + dense + moe

    @property
    def expert_params(self) -> int:
        """Weights of all experts."""
        return self.moe_layers * self.experts * 3 * self.hidden * self.expert_width

    @property
    def active_expert_params(self) -> float:
        """Weights of the experts that one token passes."""
        return self.expert_params * self.experts_per_token / self.experts if self.experts else 0.0

    @property
    def head_params(self) -> int:
        """Weights of the output head."""
        return self.hidden * self.vocab

    @property
    def params(self) -> int:
        """All weights."""
        return self.common_params + self.expert_params + self.head_params * (1 if self.tied_embeddings else 2)

    @property
    def kv_values_per_layer(self) -> int:
        """Numbers that the KV cache holds for one token of one layer."""
        return self.mla.kv_rank + self.mla.rope_dim if self.mla else 2 * self.kv_heads * self.head_dim

    @property
    def attention_flops_per_pair(self) -> int:
        """Operations of one layer for one (query, key) pair, all heads."""
        if self.mla is None:
            return 4 * self.heads * self.head_dim
        return 2 * self.heads * (self.mla.nope_dim + self.mla.rope_dim + self.mla.v_dim)

    @property
    def expert_share(self) -> float:
        """Experts that one token passes, of all of a layer; 0 without experts."""
        return self.experts_per_token / self.experts if self.experts else 0.0


def parse_config(config: Mapping[str, Any], *, name: str, where: str | None = None) -> ModelShape:
    """Read a Hugging Face config.json.

    Args:
        name: of the model.
        where: the file to blame; default: the name.
    Raises: InputError, that names the field.
    """
    return _Config(config, where or name).shape(name)


class _Config:
    """Fields of one config.json, checked as they are read."""

    def __init__(self, config: Mapping[str, Any], where: str) -> None:
        nested = config.get("text_config")
        self._fields = {**config, **nested} if isinstance(nested, Mapping) else config
        self._where = where

    def shape(self, name: str) -> ModelShape:
        hidden, heads = self._size("hidden_size"), self._size("num_attention_heads")
        layers, inner = self._size("num_hidden_layers"), self._size("intermediate_size")
        experts = self._first("num_experts", "num_local_experts", "n_routed_experts")
        width = self._first("moe_intermediate_size") or inner
        shared = self._first("shared_expert_intermediate_size") or self._first("n_shared_experts") * width
        window = self._first("sliding_window")
        return ModelShape(
            name=name,
            layers=layers,
            hidden=hidden,
            heads=heads,
            kv_heads=self._first("num_key_value_heads") or heads,
            head_dim=self._first("head_dim") or hidden // heads,
            dense_width=inner,
            vocab=self._size("vocab_size"),
            tied_embeddings=bool(self._fields.get("tie_word_embeddings", False)),
            moe_layers=self._moe_layers(layers) if experts else 0,
            experts=experts,
            experts_per_token=self._size("num_experts_per_tok") if experts else 0,
            expert_width=width if experts else 0,
            shared_width=shared if experts else 0,
            window=window if self._window_layers() else 0,
            window_layers=self._window_layers(),
            mla=self._mla(),
            mxfp4=self._quantised_by() == "mxfp4",
        )

    def _moe_layers(self, layers: int) -> int:
        dense = self._first("first_k_dense_replace")
        only = self._fields.get("mlp_only_layers")
        every = self._first("decoder_sparse_step", "moe_layer_freq") or 1
        return (layers - dense - (len(only) if isinstance(only, list) else 0)) // every

    def _window_layers(self) -> int:
        kinds = self._fields.get("layer_types")
        return kinds.count("sliding_attention") if isinstance(kinds, list) and self._first("sliding_window") else 0

    def _mla(self) -> Mla | None:
        if not self._first("kv_lora_rank"):
            return None
        return Mla(
            q_rank=self._first("q_lora_rank"),
            kv_rank=self._size("kv_lora_rank"),
            rope_dim=self._size("qk_rope_head_dim"),
            nope_dim=self._size("qk_nope_head_dim"),
            v_dim=self._size("v_head_dim"),
        )

    def _quantised_by(self) -> str:
        quantised = self._fields.get("quantization_config")
        return str(quantised.get("quant_method", "")) if isinstance(quantised, Mapping) else ""

    def _size(self, field: str) -> int:
        value = self._first(field)
        if not value:
            raise InputError(f"{self._where}: {field}", "is missing", "give the model's config.json as published")
        return value

    def _first(self, *fields: str) -> int:
        """The first of these fields that is set; 0 if none is."""
        for field in fields:
            value = self._fields.get(field)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**7:
                raise InputError(f"{self._where}: {field}", f"{value!r} is no size", "give a whole number")
            return value
        return 0


@cache
def known_models() -> Mapping[str, ModelShape]:
    """The models of the table that ships, by each of their names, lower case."""
    shapes: dict[str, ModelShape] = {}
    for row in json.loads(_TABLE.read_text(encoding="utf-8"))["models"]:
        shape = parse_config(row["config"], name=row["name"])
        for name in (row["name"], *row["aliases"]):
            shapes[name.lower()] = shape
    return shapes


def known_model(name: str, *, where: str = "model") -> ModelShape:
    """The shape of a known model. Raises: InputError, with the nearest names."""
    shapes = known_models()
    found = shapes.get(name.lower())
    if found is not None:
        return found
    by_tail = {full.rpartition("/")[2]: shape for full, shape in shapes.items()}
    found = by_tail.get(name.lower().rpartition("/")[2])
    if found is not None:
        return found
    close = get_close_matches(name.lower(), shapes, n=3, cutoff=0.4)
    nearest = ", ".join(dict.fromkeys(shapes[match].name for match in close)) or "none"
    raise InputError(where, f"unknown model {name!r}", f"give its config.json; nearest known: {nearest}")
