"""GPU data: found however it is spelled; every VM size that is priced has its GPU."""

import pytest

from penstock.errors import InputError
from penstock.hardware.gpus import GPUS, gpu, gpu_of_vm_size
from penstock.hardware.vm_sizes import VM_SIZES


@pytest.mark.parametrize(
    ("spelled", "name"),
    [
        ("h100_sxm", "H100 SXM"),
        ("H100 80GB HBM3", "H100 SXM"),
        ("NVIDIA H100 NVL", "H100 NVL"),
        ("h200_sxm", "H200 SXM"),
        ("RTXPRO6000", "RTX PRO 6000"),
        ("a100_sxm", "A100 80GB SXM"),
    ],
)
def test_a_gpu_is_found_as_data_sets_and_drivers_spell_it(spelled: str, name: str) -> None:
    assert gpu(spelled).name == name


def test_an_unknown_gpu_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(InputError, match=r"^--gpu: unknown GPU 'H300'; nearest known: .*H200 SXM"):
        gpu("H300", where="--gpu")


def test_each_priced_vm_size_has_a_gpu_of_its_memory() -> None:
    """What can be allocated is a little less than the label says."""
    for size in VM_SIZES.values():
        assert 0.9 * size.gpu_memory_gib < gpu_of_vm_size(size.name).memory_gib <= size.gpu_memory_gib, size.name


def test_a_vm_size_without_a_known_gpu_is_refused() -> None:
    with pytest.raises(InputError, match="Standard_D4s_v5"):
        gpu_of_vm_size("Standard_D4s_v5")


def test_a_precision_that_a_gpu_lacks_runs_at_the_next_wider_one() -> None:
    assert GPUS["A100 80GB SXM"].flops("fp8") == GPUS["A100 80GB SXM"].bf16_flops
    assert GPUS["H100 SXM"].flops("fp4") == GPUS["H100 SXM"].bf16_flops
    assert GPUS["H100 SXM"].flops("fp8") == 2 * GPUS["H100 SXM"].bf16_flops + 1e12
    assert GPUS["B200 SXM"].flops("fp4") == 9e15
