"""GPUs: memory, bandwidth, arithmetic by precision, link to their neighbours. Data, not decisions.

Peak figures of the vendors' data sheets, dense (without sparsity); what an engine reaches of them is fitted, see
`step_model`. Memory is what a program can allocate, as PyTorch reports it, a little less than on the label.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from penstock.errors import InputError

Precision = Literal["bf16", "fp8", "fp4"]
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU.

    Args:
        name: as Penstock spells it.
        memory_gib: what a program can allocate.
        bandwidth_bytes_per_s: of its memory.
        bf16_flops, fp8_flops, fp4_flops: dense operations per second; 0 where it has no such units.
        link_bytes_per_s: to its neighbours, one direction: NVLink, or PCIe where there is none.
        source, as_of: where the figures come from, and when they were noted.
    """

    name: str
    memory_gib: float
    bandwidth_bytes_per_s: float
    bf16_flops: float
    fp8_flops: float
    fp4_flops: float
    link_bytes_per_s: float
    source: str
    as_of: str

    def __post_init__(self) -> None:
        if min(self.memory_gib, self.bandwidth_bytes_per_s, self.bf16_flops, self.link_bytes_per_s) <= 0:
            raise ValueError(f"a GPU has memory, bandwidth, arithmetic and a link: {self}")

    @property
    def vendor(self) -> str:
        """Whose data sheet it is."""
        return self.source.partition(" ")[0]

    @property
    def memory_bytes(self) -> float:
        """What a program can allocate."""
        return self.memory_gib * GIB

    def flops(self, precision: Precision) -> float:
        """Dense operations per second at a precision; at the next wider one that it has, if it lacks that."""
        if precision == "fp4" and self.fp4_flops:
            return self.fp4_flops
        if precision == "fp8" and self.fp8_flops:
            return self.fp8_flops
        return self.bf16_flops


_NVIDIA = "NVIDIA data sheet"
_AMD = "AMD data sheet"


def _gpu(
    name: str,
    memory_gib: float,
    tb_per_s: float,
    tflops: tuple[float, float, float],
    link_gb_per_s: float,
    source: str = _NVIDIA,
) -> Gpu:
    bf16, fp8, fp4 = (value * 1e12 for value in tflops)
    return Gpu(
        name=name,
        memory_gib=memory_gib,
        bandwidth_bytes_per_s=tb_per_s * 1e12,
        bf16_flops=bf16,
        fp8_flops=fp8,
        fp4_flops=fp4,
        link_bytes_per_s=link_gb_per_s * 1e9,
        source=source,
        as_of="2025",
    )


GPUS: Mapping[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        #     name, GiB, TB/s, TFLOP/s in (bf16, fp8, fp4), GB/s to a neighbour
        _gpu("A10", 22.1, 0.600, (125, 0, 0), 32),
        _gpu("A100 40GB SXM", 39.4, 1.555, (312, 0, 0), 300),
        _gpu("A100 80GB PCIe", 79.2, 1.935, (312, 0, 0), 300),
        _gpu("A100 80GB SXM", 79.2, 2.039, (312, 0, 0), 300),
        _gpu("L4", 22.0, 0.300, (121, 242, 0), 32),
        _gpu("L40S", 44.4, 0.864, (362, 733, 0), 32),
        _gpu("H100 PCIe", 79.2, 2.0, (756, 1513, 0), 300),
        _gpu("H100 NVL", 93.1, 3.9, (835, 1671, 0), 300),
        _gpu("H100 SXM", 79.2, 3.35, (989, 1979, 0), 450),
        _gpu("H200 SXM", 139.8, 4.8, (989, 1979, 0), 450),
        _gpu("GH200", 94.5, 4.0, (989, 1979, 0), 450),
        _gpu("B200 SXM", 178.4, 8.0, (2250, 4500, 9000), 900),
        _gpu("B300 SXM", 267.0, 8.0, (2250, 4500, 13_500), 900),
        _gpu("GB200", 184.0, 8.0, (2500, 5000, 10_000), 900),
        _gpu("GB300", 276.0, 8.0, (2500, 5000, 15_000), 900),
        # No NVLink, and no copies from GPU to GPU: all-reduces pass through host memory, at half of PCIe's rate.
        _gpu("RTX 4090", 23.5, 1.008, (165.2, 330.3, 0), 16),
        _gpu("RTX PRO 6000", 95.0, 1.792, (503.8, 1007.6, 2015.2), 32),
        _gpu("MI300X", 191.7, 5.3, (1307, 2615, 0), 448, _AMD),
    )
}

# How data sets, container images and drivers spell them; compared without case, spaces, dashes and underscores.
_ALIASES = {
    "a100sxm": "A100 80GB SXM",
    "a10080gb": "A100 80GB SXM",
    "a100": "A100 80GB SXM",
    "a100pcie": "A100 80GB PCIe",
    "h100": "H100 SXM",
    "h10080gbhbm3": "H100 SXM",
    "h200": "H200 SXM",
    "b200": "B200 SXM",
    "b300": "B300 SXM",
    "gb200sxm": "GB200",
    "gb300sxm": "GB300",
    "rtx4090": "RTX 4090",
    "rtxpro6000blackwell": "RTX PRO 6000",
}

# GPUs of the Azure VM sizes in `vm_sizes`.
_BY_VM_SIZE = {
    "Standard_NC24ads_A100_v4": "A100 80GB PCIe",
    "Standard_NC48ads_A100_v4": "A100 80GB PCIe",
    "Standard_NC96ads_A100_v4": "A100 80GB PCIe",
    "Standard_NC40ads_H100_v5": "H100 NVL",
    "Standard_NC80adis_H100_v5": "H100 NVL",
    "Standard_ND96isr_H100_v5": "H100 SXM",
    "Standard_ND96isr_H200_v5": "H200 SXM",
    "Standard_ND96isr_MI300X_v5": "MI300X",
    "Standard_ND128isr_NDR_GB200_v6": "GB200",
}


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum()).removeprefix("nvidia").removeprefix("amd")


_BY_PLAIN = {_plain(name): name for name in GPUS} | _ALIASES


def gpu(name: str, *, where: str = "gpu") -> Gpu:
    """Look a GPU up by name, however spelled.

    Args:
        where: what to blame, if there is none.
    Raises: InputError, with the nearest names.
    """
    known = _BY_PLAIN.get(_plain(name))
    if known is not None:
        return GPUS[known]
    close = get_close_matches(_plain(name), _BY_PLAIN, n=3, cutoff=0.5)
    nearest = ", ".join(dict.fromkeys(_BY_PLAIN[match] for match in close)) or ", ".join(GPUS)
    raise InputError(where, f"unknown GPU {name!r}", f"nearest known: {nearest}")


def gpu_of_vm_size(name: str) -> Gpu:
    """The GPU in an Azure VM size. Raises: InputError, if that is not known."""
    found = {size.lower(): gpu_name for size, gpu_name in _BY_VM_SIZE.items()}.get(name.lower())
    if found is None:
        raise InputError("gpu.vmSize", f"its GPU is not known: {name}", f"use one of {', '.join(_BY_VM_SIZE)}")
    return GPUS[found]
