"""The limits of one engine, as its operator sets them."""

from dataclasses import dataclass
from typing import Self

from penstock.errors import InputError
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What one engine may batch and hold; names as in vLLM.

    Args:
        max_num_seqs: sequences that run at a time.
        max_num_batched_tokens: tokens that one step computes, prefill and decode together.
        block_tokens: tokens per KV block.
        kv_blocks: KV blocks in all.
        role: `worker` does both phases; `prefill` stops after the first token and keeps the KV until it is read;
            `decode` is handed the prompt's KV.
        page_blocks: blocks that one hash of a request names: 1 in an engine; more for traces with coarser hashes,
            where one entry per block would be slow.
        prefill_first: while a prompt can be computed, steps compute prompts only and decoding waits, as SGLang does by
            default; else prompts and decoding share a step, as in vLLM. Only for the role `worker`.
    Raises: InputError, for limits with which an engine could not run.
    """

    max_num_seqs: int
    max_num_batched_tokens: int
    block_tokens: int
    kv_blocks: int
    role: Role = Role.WORKER
    page_blocks: int = 1
    prefill_first: bool = False

    def __post_init__(self) -> None:
        for name in ("max_num_seqs", "block_tokens", "kv_blocks", "page_blocks"):
            value = getattr(self, name)
            if value < 1:
                raise InputError(f"engine.{name}", f"{value} will not do", "it is at least 1")
        if self.max_num_batched_tokens < self.max_num_seqs:
            # As vLLM: each running sequence needs a token of the budget, else the youngest would starve.
            raise InputError(
                "engine.max_num_batched_tokens",
                f"{self.max_num_batched_tokens} is less than max_num_seqs, {self.max_num_seqs}",
                "every running sequence takes a token in each step, so raise it or lower max_num_seqs",
            )
        if self.prefill_first and self.role is not Role.WORKER:
            raise InputError("engine.prefill_first", f"a {self.role} engine does one phase only", "leave it out")
        if self.role is Role.FRONTEND:
            raise InputError("engine.role", "a frontend runs no engine", "use worker, prefill or decode")

    @classmethod
    def from_spec(cls, spec: EngineSpec, role: Role) -> Self:
        """The engine that a component's spec describes. Raises: InputError."""
        return cls(
            max_num_seqs=spec.max_num_seqs,
            max_num_batched_tokens=spec.max_num_batched_tokens,
            block_tokens=spec.block_tokens,
            kv_blocks=spec.kv_blocks,
            role=role,
            prefill_first=spec.type == "sglang" and role is Role.WORKER,
        )

    @property
    def page_tokens(self) -> int:
        """Tokens that one hash names."""
        return self.block_tokens * self.page_blocks

    def blocks_for(self, tokens: int) -> int:
        """Blocks that hold that many tokens."""
        return -(-tokens // self.block_tokens)
