"""What the replicas cost: GPU-hours by the state in which they were paid for, dollars, and the price of a static peak.

Pure accounting: it hears observations and charges the time between two of them at what stood at the first. A replica
is paid for from the moment its VM is asked for (starting) until its process is gone (draining); a slot without a
worker is a deallocated VM and costs nothing. `warm` is for capacity that is kept running on purpose.

The comparison is with the deployment that does not scale: each pool at the most replicas that ever served at once, for
the whole time. That is the least a static deployment could have had, so what was saved is not flattered.

It does not know prices: they come with the spec's VM sizes (`hardware.vm_sizes`), as a share of the VM for pools that
take a part of its GPUs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from penstock.hardware.vm_sizes import vm_size
from penstock.messages.observation import Observation, PoolSeen
from penstock.messages.result import GpuHours
from penstock.messages.spec import DeploymentBody
from penstock.telemetry.feed import Costs

_HOUR_S = 3600.0
STATES = ("serving", "starting", "warm", "draining")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one replica of a pool takes."""

    gpus: int
    usd_per_hour: float


@dataclass(slots=True)
class _Account:
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STATES, 0.0))
    peak: int = 0


class Ledger:
    """Charges the pools that name a GPU; the others are free."""

    def __init__(self, rates: Mapping[str, Rate]) -> None:
        self._rates = dict(rates)
        self._accounts = {name: _Account() for name in rates}
        self._began_s: float | None = None
        self._latest: Observation | None = None

    @classmethod
    def of(cls, spec: DeploymentBody) -> Self:
        """With the prices of the spec's VM sizes. Raises: InputError, for a VM size that is not known."""
        rates = {}
        for pool in spec.pools:
            if pool.gpu is not None:
                price = vm_size(pool.gpu.vm_size).usd_per_gpu_hour
                rates[pool.name] = Rate(gpus=pool.gpu.count, usd_per_hour=price * pool.gpu.count)
        return cls(rates)

    @property
    def knows_gpus(self) -> bool:
        """Whether any pool names a GPU, and so there is anything to tell."""
        return bool(self._rates)

    def observed(self, observation: Observation) -> None:
        """Charge the time since the last observation."""
        if self._latest is None:
            self._began_s = observation.time_s
        else:
            elapsed_s = max(0.0, observation.time_s - self._latest.time_s)
            for pool in self._latest.pools:
                if pool.component in self._accounts:
                    account = self._accounts[pool.component]
                    for state, replicas in _by_state(pool).items():
                        account.seconds[state] += replicas * elapsed_s
        for pool in observation.pools:
            if pool.component in self._accounts:
                account = self._accounts[pool.component]
                account.peak = max(account.peak, pool.ready)
        self._latest = observation

    def decided(self, decision: object) -> None:
        """A decision costs nothing; what comes of it does."""

    def costs(self) -> Costs | None:
        """So far. None: no pool names a GPU, or nothing was seen yet."""
        if not self._rates or self._latest is None or self._began_s is None:
            return None
        elapsed_s = self._latest.time_s - self._began_s
        hours = dict.fromkeys(STATES, 0.0)
        spent_usd = static_usd = usd_per_hour = 0.0
        for name, account in self._accounts.items():
            rate = self._rates[name]
            for state, seconds in account.seconds.items():
                hours[state] += seconds / _HOUR_S * rate.gpus
            spent_usd += sum(account.seconds.values()) / _HOUR_S * rate.usd_per_hour
            static_usd += account.peak * elapsed_s / _HOUR_S * rate.usd_per_hour
        for pool in self._latest.pools:
            if pool.component in self._rates:
                usd_per_hour += sum(_by_state(pool).values()) * self._rates[pool.component].usd_per_hour
        return Costs(
            usd_per_hour=usd_per_hour,
            spent_usd=spent_usd,
            static_peak_usd=static_usd,
            gpu_hours=GpuHours(total=sum(hours.values()), **hours),
        )


def _by_state(pool: PoolSeen) -> dict[str, int]:
    return {"serving": pool.ready, "starting": pool.starting, "draining": pool.draining}
