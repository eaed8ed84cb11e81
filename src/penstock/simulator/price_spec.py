"""Prices of VM sizes as the world's file states them, over the table that Penstock ships (`hardware.vm_sizes`)."""

from collections.abc import Iterable
from typing import Self

from pydantic import Field, model_validator

from penstock.hardware.vm_sizes import VM_SIZES, VmSize, overridden
from penstock.messages.fields import SpecModel


class VmPriceSpec(SpecModel):
    """A VM size of your own, or the price that you pay for a known one."""

    vm_size: str = Field(min_length=1)
    """As Azure spells it."""
    usd_per_hour: float = Field(ge=0)
    """Price of the whole VM, in US dollars."""
    gpus: int | None = Field(default=None, ge=1, le=64)
    """GPUs in the VM. Default: as in the table."""
    gpu_memory_gib: int | None = Field(default=None, ge=1)
    """Memory of each GPU. Default: as in the table."""
    source: str = "the world file"
    """Where figures and price come from."""
    as_of: str = "not stated"
    """When they were noted."""

    @model_validator(mode="after")
    def _new_sizes_are_whole(self) -> Self:
        if self.vm_size not in VM_SIZES and (self.gpus is None or self.gpu_memory_gib is None):
            raise ValueError(f"{self.vm_size} is not in the table; give gpus and gpuMemoryGib too")
        return self

    def size(self) -> VmSize:
        """As the rest of Penstock knows it."""
        known = VM_SIZES.get(self.vm_size)
        gpus = self.gpus if known is None else self.gpus or known.gpus
        memory = self.gpu_memory_gib if known is None else self.gpu_memory_gib or known.gpu_memory_gib
        assert gpus is not None
        assert memory is not None
        return VmSize(
            name=self.vm_size,
            gpus=gpus,
            gpu_memory_gib=memory,
            usd_per_hour=self.usd_per_hour,
            source=self.source,
            as_of=self.as_of,
        )


def priced(sizes: Iterable[VmPriceSpec]) -> dict[str, VmSize]:
    """The table with these rows replaced or joined."""
    return overridden(spec.size() for spec in sizes)
