"""All cuts of a model over the GPUs that may be had: one for each kind of GPU and number of them within a VM."""

from penstock.hardware.gpus import GPUS, gpu_of_vm_size
from penstock.hardware.memory_fit import cuts
from penstock.hardware.vm_sizes import VmSize
from penstock.recommend.option import Cut
from penstock.recommend.question import Question


def all_cuts(question: Question) -> tuple[Cut, ...]:
    """By GPU, then by how many: VM sizes with the same GPU differ in price only."""
    sizes: dict[tuple[str, int], list[VmSize]] = {}
    for size in question.sizes:
        for gpus in cuts(question.shape.heads, size):
            sizes.setdefault((gpu_of_vm_size(size.name).name, gpus), []).append(size)
    return tuple(Cut(gpu=GPUS[name], gpus=gpus, sizes=tuple(with_it)) for (name, gpus), with_it in sizes.items())


def unmeasured_vendor(question: Question, cut: Cut) -> str | None:
    """Why a cut is not tried unless it is named: its vendor's engines and kernels are others, and none was measured."""
    measured = {GPUS[campaign.gpu].vendor for campaign in question.profile.campaigns if campaign.gpu in GPUS}
    if question.named or cut.gpu.vendor in measured:
        return None
    return f"no GPU of {cut.gpu.vendor} was measured; name its VM size with --sku to have it predicted all the same"
