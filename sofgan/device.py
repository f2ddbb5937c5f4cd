"""Which device is meant."""

import re

from sofgan.errors import InputError

KINDS = ("cpu", "cuda", "mps", "xpu")


def check_device(name: str, what: str = "device") -> None:
    """See that a name may be a device's; whether it is there is `resolve_device`'s to see. Asks no torch.

    Raises:
        InputError: it is none.
    """
    if name != "auto" and not re.fullmatch(rf"({'|'.join(KINDS)})(:\d+)?", name):
        raise InputError(f"{what} is auto, cpu, cuda or cuda:N, not {name!r}")


def resolve_device(name: str) -> str:
    """torch's name of a device: `auto` is a GPU where there is one, any other name stays as it is.

    Raises:
        InputError: it is no device, or a GPU that torch does not see here.
    """
    check_device(name)
    if name != "auto" and not name.startswith("cuda"):
        return name
    import torch  # Seconds, for who must know.

    count = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.cuda.is_available() or int(name.partition(":")[2] or 0) >= count:
        seen = f"{count} GPUs" if torch.cuda.is_available() else "no GPU"
        raise InputError(
            f"the device is {name}, but torch sees {seen} here: set runtime.device in params.yaml (or SOFGAN_DEVICE) "
            "to auto or cpu; `make doctor` shows what there is"
        )
    return name
