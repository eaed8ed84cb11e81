"""What is asked: a model, a workload, targets, and the VM sizes that may be had."""

from dataclasses import dataclass

from penstock.hardware.models import ModelShape
from penstock.hardware.profile import Profile
from penstock.hardware.vm_sizes import VmSize
from penstock.messages.engine_spec import EngineSpec
from penstock.messages.spec import SloSpec
from penstock.simulator.workload_source import WorkloadSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything that an answer depends on.

    Args:
        model: its name, as a deployment has it.
        engine: type, precision, profile and limits; what a profile knows is filled in for each option.
        sizes: VM sizes to choose from. `named`: the user named them, so that they are tried whatever speaks against.
    """

    model: str
    shape: ModelShape
    profile: Profile
    engine: EngineSpec
    slo: SloSpec
    source: WorkloadSource
    sizes: tuple[VmSize, ...]
    named: bool = False
