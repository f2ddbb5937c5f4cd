"""Precision of a field: bfloat16 in its wide layers, and nowhere else.

A bfloat16 holds eight bits: a coordinate of head space would be off by up to a five-hundredth, and a marcher's step
likewise. So what is in bfloat16 is named, layer by layer, and all else stays as precise as it is.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_wide = threading.local()  # `kind`: of the devices on which wide layers are in bfloat16; None: on none


@contextmanager
def mixed_precision(device: str | torch.device, on: bool) -> Iterator[None]:
    """Within it, where `on`, wide layers are in bfloat16 on CUDA: CPUs are rarely faster at it. For this thread."""
    kind = torch.device(device).type
    with bfloat16_layers(kind if on and kind == "cuda" else None):
        yield


@contextmanager
def bfloat16_layers(kind: str | None) -> Iterator[None]:
    """Within it, what `wide_layers` encloses is in bfloat16 on devices of that kind; None: on none."""
    before = getattr(_wide, "kind", None)
    _wide.kind = kind
    try:
        yield
    finally:
        _wide.kind = before


@contextmanager
def wide_layers() -> Iterator[None]:
    """Encloses layers from many features to many, in which nearly all of a field's work is. Their results may be
    bfloat16."""
    kind = getattr(_wide, "kind", None)
    if kind is None:
        yield
        return
    with torch.autocast(kind, torch.bfloat16):
        yield
