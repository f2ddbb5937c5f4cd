"""Which device is meant."""


def resolve_device(name: str) -> str:
    """torch's name of a device: `auto` is a GPU where there is one, any other name stays as it is."""
    if name != "auto":
        return name
    import torch  # Seconds, for who must know.

    return "cuda" if torch.cuda.is_available() else "cpu"
