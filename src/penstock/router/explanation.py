"""A choice that explains itself: every worker's price, as a record, a table and JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from penstock.messages.worker import Role
from penstock.router.policy import PolicyName
from penstock.router.route_request import Choice, RequestId


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPrice:
    """What one worker would cost; `total_s` is the sum of the four parts (see `price`).

    Args:
        stage: what it would do: all (`worker`), only the prompt (`prefill`), or only the rest (`decode`).
        factor: how much slower than its step time this worker was found to be.
    """

    worker: str
    stage: Role
    hit_tokens: int
    queue_s: float
    prefill_s: float
    transfer_s: float
    harm_s: float
    total_s: float
    in_flight: float
    factor: float
    excluded: bool
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a request goes where it goes. `prices`: cheapest first, within each stage."""

    request: RequestId
    policy: PolicyName
    time_s: float
    prompt_tokens: int
    choice: Choice | None
    prices: tuple[WorkerPrice, ...]

    @property
    def reason(self) -> str:
        """One sentence for each stage, with figures."""
        if self.choice is None:
            return "No worker can be used: " + (
                f"{len(self.prices)} known, none usable." if self.prices else "none known."
            )
        return " ".join(f"By {self.policy}: {self._why(price)}." for price in self.prices if price.chosen)

    def _why(self, price: WorkerPrice) -> str:
        figures = (
            f"{price.worker} costs {price.total_s:.3f} s (queue {price.queue_s:.3f}, prefill {price.prefill_s:.3f}, "
            f"transfer {price.transfer_s:.3f}, harm {price.harm_s:.3f}) with {price.hit_tokens} of "
            f"{self.prompt_tokens} prompt tokens cached"
        )
        others = [p for p in self.prices if p.stage is price.stage and not p.chosen and not p.excluded]
        if not others:
            return f"{figures}; no other could take it"
        return f"{figures}; {others[0].worker} would cost {others[0].total_s:.3f} s"

    def to_json(self) -> Mapping[str, Any]:
        """Plain dicts, lists, strings and numbers."""
        return {
            "request": self.request,
            "policy": self.policy,
            "time_s": self.time_s,
            "prompt_tokens": self.prompt_tokens,
            "choice": None if self.choice is None else self.choice._asdict(),
            "reason": self.reason,
            "prices": [{**asdict(price), "stage": str(price.stage)} for price in self.prices],
        }

    def to_table(self) -> str:
        """Lines of equal width, `>` before the chosen."""
        width = max([6, *(len(price.worker) for price in self.prices)])
        lines = [
            f"  {'worker':<{width}} {'stage':<7} {'hit':>7} {'queue_s':>8} {'prefill_s':>9} {'transfer_s':>10} "
            f"{'harm_s':>8} {'total_s':>8} {'in_flight':>9} {'factor':>6}"
        ]
        for price in self.prices:
            mark = ">" if price.chosen else "x" if price.excluded else " "
            lines.append(
                f"{mark} {price.worker:<{width}} {price.stage:<7} {price.hit_tokens:>7} {price.queue_s:>8.4f} "
                f"{price.prefill_s:>9.4f} {price.transfer_s:>10.4f} {price.harm_s:>8.4f} {price.total_s:>8.4f} "
                f"{price.in_flight:>9g} {price.factor:>6.2f}"
            )
        return "\n".join(lines)
