"""What the GPUs of a deployment must be, told by file and field before anything runs."""

from penstock.errors import InputError
from penstock.hardware.vm_sizes import vm_size
from penstock.messages.spec import InferenceDeployment


def check_gpus(deployment: InferenceDeployment, source: str) -> None:
    """Raises: InputError, for a VM size that is not known, or that has fewer GPUs than a replica takes."""
    for place, component in enumerate(deployment.spec.components):
        gpu, where = component.gpu, f"{source}: spec.components[{place}].gpu"
        if gpu is None:
            continue
        try:
            size = vm_size(gpu.vm_size)
        except InputError as error:
            raise InputError(f"{where}.vmSize", error.what, error.fix) from error
        if gpu.count > size.gpus:
            has = f"{size.name} has {size.gpus}"
            raise InputError(f"{where}.count", f"{gpu.count} GPUs, but {has}", "lower it, or take a larger VM size")
