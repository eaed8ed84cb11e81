"""VM sizes are data with source and date; a wrong name is answered with the right one."""

import pytest

from penstock.errors import InputError
from penstock.hardware.vm_sizes import VM_SIZES, VmSize, overridden, vm_size


def test_a_size_has_its_gpus_memory_and_price() -> None:
    """The size of the examples."""
    size = vm_size("Standard_NC40ads_H100_v5")
    assert (size.gpus, size.gpu_memory_gib, size.usd_per_hour) == (1, 94, 6.98)
    assert vm_size("Standard_ND96isr_H200_v5").usd_per_gpu_hour == pytest.approx(10.60)


def test_case_does_not_matter() -> None:
    """Nor does it in Azure."""
    assert vm_size("standard_nc40ads_h100_V5").name == "Standard_NC40ads_H100_v5"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("Standard_NC40ads_H100", "Standard_NC40ads_H100_v5"),
        ("NC80adis_H100_v5", "Standard_NC80adis_H100_v5"),
        ("Standard_ND96isr_MI300_v5", "Standard_ND96isr_MI300X_v5"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(wrong: str, meant: str) -> None:
    """In the error that the user sees."""
    with pytest.raises(InputError, match="unknown VM size") as caught:
        vm_size(wrong)
    assert meant in caught.value.fix


def test_a_name_like_no_other_is_answered_with_all() -> None:
    """The list is short."""
    with pytest.raises(InputError) as caught:
        vm_size("x")
    assert all(name in caught.value.fix for name in VM_SIZES)


def test_prices_can_be_overridden_and_sizes_added() -> None:
    """The shipped table stays as it is."""
    mine = VmSize("Standard_NC40ads_H100_v5", 1, 94, 4.10, "our contract", "2026-01-15")
    new = VmSize("Standard_New", 2, 80, 5.0, "our contract", "2026-01-15")
    table = overridden([mine, new])
    assert vm_size("Standard_NC40ads_H100_v5", sizes=table).usd_per_hour == 4.10
    assert vm_size("Standard_New", sizes=table).gpus == 2
    assert vm_size("Standard_NC40ads_H100_v5").usd_per_hour == 6.98


def test_every_row_names_its_source_and_date() -> None:
    """Prices without them are rumours."""
    assert all(size.source and size.as_of[:2] == "20" for size in VM_SIZES.values())
    assert all(name == size.name for name, size in VM_SIZES.items())


@pytest.mark.parametrize(("gpus", "price"), [(0, 1.0), (1, -1.0), (1, float("nan")), (1, float("inf"))])
def test_rows_that_make_no_sense_are_refused(gpus: int, price: float) -> None:
    """They would spoil every sum."""
    with pytest.raises(ValueError):
        VmSize("x", gpus, 80, price, "test", "2026")
