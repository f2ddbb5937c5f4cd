"""Heads that were edited, each as one tensor: a code of the field, and behind it what an edit adds to its planes.

A code alone moves a whole head: long hair comes with the faces of those who have it. What is added to the planes is as
fine as the sets of planes that a code mixes, and so changes one place and leaves all others alone. Such a tensor goes
wherever a code goes; `representation` is what the field makes of it. So it is a head of the field that it was found in,
and of no other: one that has learned a photo makes another head of the same numbers. Camera, shoulders and painter show
it, but it doesn't depend on them.
"""

import base64
import hashlib
import json
import zlib
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan.config import to_mapping
from sofgan.errors import InputError
from sofgan.sof.field import Representation
from sofgan.sof.model import SofModel
from sofgan.sof.sof import Sof

MARK = "edited:"  # begins the text of such a head
STEPS = 127  # of an added number to either side of 0, in text
FINGERPRINT = 8  # bytes
KNOWN_HEADS = "codes"  # of a field's state: they are its own heads, and make nothing of others


class _Fingerprint(NamedTuple):
    now: list[tuple[int, int]]  # tensors' addresses and versions
    tensors: list[Tensor]  # so that no later one gets the address of one of them
    digest: bytes


_fingerprints: WeakKeyDictionary[SofModel, _Fingerprint] = WeakKeyDictionary()


def can_edit(sof: Sof) -> bool:
    """Whether the field is one of planes, to which something can be added."""
    return sof.config.field.kind == "triplane" and sof.config.marcher.kind == "volume"


def addition_shape(sof: Sof) -> tuple[int, int, int]:
    """Shape (3 C, B, B) of what an edit adds: C channels of each of three planes."""
    field = sof.config.field
    return 3 * field.channels, field.basis_size, field.basis_size


def edited(code: Tensor, addition: Tensor) -> Tensor:
    """The head (Z + 3 C B B,) of a code (Z,) and what is added to its planes (3 C, B, B)."""
    return torch.cat([code, addition.flatten()])


def parts(sof: Sof, head: Tensor) -> tuple[Tensor, Tensor | None]:
    """Code (Z,) of a head and what is added (3 C, B, B); None where it is a code alone.

    Raises:
        ValueError: it has another length.
    """
    size = sof.config.field.code_size
    code, rest = head[:size], head[size:]
    if len(code) < size or (len(rest) and (not can_edit(sof) or len(rest) != np.prod(addition_shape(sof)))):
        raise ValueError(f"a head of this field has {size} numbers and what was added to it, not {len(head)}")
    return code, rest.reshape(addition_shape(sof)) if len(rest) else None


def representation(sof: Sof, head: Tensor) -> Representation:
    """What the field makes of a head."""
    code, addition = parts(sof, head)
    made = sof.generate(code)
    return made if addition is None else with_addition(made, addition)


def with_addition(made: Representation, addition: Tensor) -> Representation:
    """A representation of one head with (3 C, B, B) added to its planes; differentiable."""
    planes = made["planes"]
    added = F.interpolate(addition[None], size=planes.shape[-2:], mode="bilinear", align_corners=False)
    return made | {"planes": planes + added.unflatten(1, (3, -1))}


def blend(first: Tensor, second: Tensor, share: float) -> Tensor:
    """A head on the way from one to another: the first at 0, the second at 1."""
    longest = max(len(first), len(second))
    first, second = (F.pad(head, (0, longest - len(head))) for head in (first, second))
    return first.lerp(second, share)


def moved(head: Tensor, change: Tensor) -> Tensor:
    """A head whose code is moved by a change (Z,), with what was added to its planes."""
    return head + F.pad(change, (0, len(head) - len(change)))


def rounded(addition: Tensor) -> Tensor:
    """What is added (3 C, B, B), as its text tells it."""
    numbers, scales = _quantized(addition)
    return _restored(numbers, scales).to(addition)


def _quantized(addition: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers (3 C, B, B) int8, and what each channel's are multiplied by (3 C, 1, 1) float32."""
    values = addition.detach().cpu().float().numpy()
    scales = np.abs(values).max((1, 2), keepdims=True).astype(np.float32) / np.float32(STEPS)
    return np.rint(values / np.where(scales > 0, scales, 1)).astype(np.int8), scales


def _restored(numbers: np.ndarray, scales: np.ndarray) -> Tensor:
    return torch.from_numpy(numbers.astype(np.float32) * scales)


def to_text(sof: Sof, head: Tensor) -> str:
    """An edited head as text, for records and arguments.

    What was added must be `rounded`: then `from_text` gives the same numbers.
    """
    code, addition = parts(sof, head)
    if addition is None:
        addition = head.new_zeros(addition_shape(sof))
    numbers, scales = _quantized(addition)
    content = [_fingerprint(sof), code.cpu().numpy().tobytes(), scales.tobytes(), numbers.tobytes()]
    return MARK + base64.b64encode(zlib.compress(b"".join(content), 9)).decode()


def from_text(sof: Sof, text: str) -> Tensor:
    """The head of a text.

    Raises:
        InputError: it is no such text, or one of another field's head.
    """
    size, (channels, *side) = 4 * sof.config.field.code_size, addition_shape(sof)
    expected = FINGERPRINT + size + 4 * channels + channels * int(np.prod(side))
    try:
        unpacker = zlib.decompressobj()  # Of a few bytes many could be made.
        content = unpacker.decompress(base64.b64decode(text.removeprefix(MARK), validate=True), expected + 1)
    except (ValueError, zlib.error) as error:
        raise InputError("the edited head is damaged") from error
    if len(content) != expected or content[:FINGERPRINT] != _fingerprint(sof) or not can_edit(sof):
        raise InputError(
            "the edited head is one of another field, or of an earlier version of this program: use the models that it "
            "was made with, or edit it again"
        )
    code = np.frombuffer(content, np.float32, size // 4, FINGERPRINT)
    scales = np.frombuffer(content, np.float32, channels, FINGERPRINT + size).reshape(-1, 1, 1)
    numbers = np.frombuffer(content, np.int8, offset=FINGERPRINT + size + 4 * channels)
    addition = _restored(numbers.reshape(channels, *side), scales)
    head = edited(torch.from_numpy(code.copy()), addition)
    if not head.isfinite().all():
        raise InputError("the edited head is damaged")
    return head.to(sof.device)


def _fingerprint(sof: Sof) -> bytes:
    """Bytes by which a field is told from others: of its configuration and of the weights that make something of a
    head. Kept until a parameter of the model is another: a viewer asks at each frame."""
    model, state = sof.model, sof.model.state_dict(keep_vars=True)
    now = [(id(value), value._version) for value in state.values()]
    kept = _fingerprints.get(model)
    if kept is None or kept.now != now:
        digest = hashlib.sha256(json.dumps(to_mapping(sof.config), sort_keys=True).encode())
        for name, value in sorted(state.items()):
            if name != KNOWN_HEADS:
                digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
                digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        kept = _fingerprints[model] = _Fingerprint(now, list(state.values()), digest.digest()[:FINGERPRINT])
    return kept.digest
