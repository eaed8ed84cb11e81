"""Azure VM sizes with GPUs: how many, how much memory, what an hour costs. Data, not decisions.

The prices are pay-as-you-go list prices in US dollars as third parties noted them in 2025 and 2026; they are
unverified, differ by region and change. Each row says where it comes from and when, and can be overridden, so that a
user with a contract counts in the prices of that contract.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from penstock.errors import InputError


@dataclass(frozen=True, slots=True)
class VmSize:
    """A VM size.

    Args:
        name: as Azure spells it.
        gpus: GPUs in the VM, as a pod sees them.
        gpu_memory_gib: memory of each GPU.
        usd_per_hour: price of the whole VM.
        source: where price and figures come from.
        as_of: when they were noted, as YYYY or YYYY-MM-DD.
        network_gbit_per_s: of one GPU's share, to other VMs: what KV travels over; None if not known.
    """

    name: str
    gpus: int
    gpu_memory_gib: int
    usd_per_hour: float
    source: str
    as_of: str
    network_gbit_per_s: float | None = None

    def __post_init__(self) -> None:
        if self.gpus < 1 or self.gpu_memory_gib < 1 or not 0 <= self.usd_per_hour < float("inf"):
            raise ValueError(f"a VM size has GPUs with memory and a finite price: {self}")

    @property
    def usd_per_gpu_hour(self) -> float:
        """Price of one of its GPUs, if the others are used too."""
        return self.usd_per_hour / self.gpus


# Network: InfiniBand of one port for each GPU (ND), else Ethernet of the VM over its GPUs, as Azure's size pages say.
_NOTES = "third-party price notes, pay-as-you-go, unverified"

VM_SIZES: Mapping[str, VmSize] = {
    size.name: size
    for size in (
        VmSize("Standard_NC24ads_A100_v4", 1, 80, 3.67, _NOTES, "2025", 20),
        VmSize("Standard_NC48ads_A100_v4", 2, 80, 7.35, _NOTES, "2025", 20),
        VmSize("Standard_NC96ads_A100_v4", 4, 80, 14.69, _NOTES, "2025", 20),
        VmSize("Standard_NC40ads_H100_v5", 1, 94, 6.98, _NOTES, "2025", 40),
        VmSize("Standard_NC80adis_H100_v5", 2, 94, 13.96, _NOTES, "2025", 40),
        VmSize("Standard_ND96isr_H100_v5", 8, 80, 98.00, _NOTES, "2025", 400),
        VmSize("Standard_ND96isr_H200_v5", 8, 141, 84.80, _NOTES, "2025", 400),
        VmSize("Standard_ND96isr_MI300X_v5", 8, 192, 48.00, _NOTES, "2025", 400),
        VmSize("Standard_ND128isr_NDR_GB200_v6", 4, 192, 108.16, _NOTES, "2025", 400),
    )
}


def vm_size(name: str, *, sizes: Mapping[str, VmSize] = VM_SIZES) -> VmSize:
    """Look a VM size up by name; case does not matter, as in Azure.

    Args:
        sizes: the table to look in; see `overridden`.
    Raises: InputError, with the nearest names, if there is none.
    """
    found = sizes.get(name)
    if found is not None:
        return found
    by_lower = {known.lower(): size for known, size in sizes.items()}
    found = by_lower.get(name.lower())
    if found is not None:
        return found
    close = get_close_matches(name.lower(), by_lower, n=3, cutoff=0.5)
    nearest = ", ".join(by_lower[match].name for match in close)
    fix = f"did you mean {nearest}?" if nearest else f"known are {', '.join(sorted(sizes))}"
    raise InputError("gpu.vmSize", f"unknown VM size {name!r}", fix)


def overridden(changes: Iterable[VmSize], *, sizes: Mapping[str, VmSize] = VM_SIZES) -> dict[str, VmSize]:
    """A table in which `changes` replace or join the rows of `sizes`."""
    return {**sizes, **{size.name: size for size in changes}}
