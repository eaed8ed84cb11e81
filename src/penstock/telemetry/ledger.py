"""What the GPUs cost: GPU-hours by the state in which they were paid for, dollars, and the price of a static peak.

Pure accounting: it hears observations and charges the time between two of them at what stood at the first. Where
replicas have VMs of their own, each is paid for from the moment its VM is asked for (starting) until its process is
gone (draining); a slot without a worker is a deallocated VM and costs nothing. Where they share nodes, it is the nodes
that are paid for, from the moment they are asked for (starting) until they are gone. What pods hold of them serves,
starts or drains; what placeholders hold is warm; the rest is idle, the unused GPUs of a node in use too. So the states
add up to all that is paid.

The comparison is with the deployment that does not scale: each pool at the most replicas that ever served at once, for
the whole time, and no GPU of a node beside. That is the least a static deployment could have had, so what was saved is
not flattered.

It does not know prices: they come with the VM sizes (`hardware.vm_sizes`), as a share of the VM for pools that take a
part of its GPUs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from penstock.hardware.vm_sizes import VM_SIZES, VmSize, vm_size
from penstock.messages.observation import Observation
from penstock.messages.result import GpuHours
from penstock.messages.spec import DeploymentBody
from penstock.telemetry.feed import Costs

_HOUR_S = 3600.0
STATES = ("serving", "starting", "warm", "draining", "idle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What one replica of a pool takes. `vm_size`: as observations of shared nodes name it; empty: it shares none."""

    gpus: int
    usd_per_hour: float
    vm_size: str = ""


@dataclass(slots=True)
class _Account:
    """GPU-seconds at one price."""

    usd_per_gpu_hour: float
    gpu_seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STATES, 0.0))


class Ledger:
    """Charges the pools that name a GPU, and the nodes that they share; the others are free.

    Args:
        rates: by component.
        usd_per_gpu_hour: by VM size, of the nodes that pools share.
    """

    def __init__(self, rates: Mapping[str, Rate], usd_per_gpu_hour: Callable[[str], float] = lambda _: 0.0) -> None:
        self._rates = dict(rates)
        self._price_of_node = usd_per_gpu_hour
        self._accounts: dict[str, _Account] = {}  # by component or VM size
        self._peaks = dict.fromkeys(rates, 0)
        self._began_s: float | None = None
        self._latest: Observation | None = None

    @classmethod
    def of(cls, spec: DeploymentBody, *, sizes: Mapping[str, VmSize] = VM_SIZES) -> Self:
        """With the prices of the spec's VM sizes. Raises: InputError, for a VM size that is not known."""
        rates = {}
        for pool in spec.pools:
            if pool.gpu is not None:
                size = vm_size(pool.gpu.vm_size, sizes=sizes)
                price = size.usd_per_gpu_hour * pool.gpu.count
                rates[pool.name] = Rate(gpus=pool.gpu.count, usd_per_hour=price, vm_size=size.name)
        return cls(rates, lambda name: vm_size(name, sizes=sizes).usd_per_gpu_hour)

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
            for payer, gpus in self._paid(self._latest).items():
                account = self._accounts[payer]
                for state, count in gpus.items():
                    account.gpu_seconds[state] += count * elapsed_s
        for pool in observation.pools:
            if pool.component in self._peaks:
                self._peaks[pool.component] = max(self._peaks[pool.component], pool.ready)
        self._latest = observation

    def decided(self, decision: object) -> None:
        """A decision costs nothing; what comes of it does."""

    def costs(self) -> Costs | None:
        """So far. None: no pool names a GPU, or nothing was seen yet."""
        if not self._rates or self._latest is None or self._began_s is None:
            return None
        elapsed_s = self._latest.time_s - self._began_s
        hours = dict.fromkeys(STATES, 0.0)
        spent_usd = 0.0
        for account in self._accounts.values():
            for state, seconds in account.gpu_seconds.items():
                hours[state] += seconds / _HOUR_S
                spent_usd += seconds / _HOUR_S * account.usd_per_gpu_hour
        paid = self._paid(self._latest)
        return Costs(
            usd_per_hour=sum(sum(gpus.values()) * self._accounts[who].usd_per_gpu_hour for who, gpus in paid.items()),
            spent_usd=spent_usd,
            static_peak_usd=sum(
                peak * elapsed_s / _HOUR_S * self._rates[name].usd_per_hour for name, peak in self._peaks.items()
            ),
            gpu_hours=GpuHours(total=sum(hours.values()), **hours),
        )

    def _paid(self, seen: Observation) -> dict[str, dict[str, int]]:
        """GPUs that cost something at this instant, by who pays (a component, or a VM size) and state."""
        paid: dict[str, dict[str, int]] = {}
        shared = {nodes.vm_size for nodes in seen.nodes}
        serving, draining = dict.fromkeys(shared, 0), dict.fromkeys(shared, 0)
        for pool in seen.pools:
            rate = self._rates.get(pool.component)
            if rate is None:
                continue
            if rate.vm_size in shared:
                serving[rate.vm_size] += pool.ready * rate.gpus
                draining[rate.vm_size] += pool.draining * rate.gpus
            else:
                self._accounts.setdefault(pool.component, _Account(rate.usd_per_hour / rate.gpus))
                replicas = {"serving": pool.ready, "starting": pool.starting, "draining": pool.draining}
                paid[pool.component] = {state: count * rate.gpus for state, count in replicas.items()}
        for nodes in seen.nodes:
            self._accounts.setdefault(nodes.vm_size, _Account(self._price_of_node(nodes.vm_size)))
            coming = nodes.provisioning * nodes.gpus_per_node
            paid[nodes.vm_size] = {
                "serving": serving[nodes.vm_size],
                "draining": draining[nodes.vm_size],
                "starting": coming + nodes.in_use - serving[nodes.vm_size] - draining[nodes.vm_size],
                "warm": nodes.held,
                "idle": nodes.paid_gpus - coming - nodes.in_use - nodes.held,
            }
        return paid
