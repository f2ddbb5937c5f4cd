"""Looks: the styles that a head is painted in, one for all of it or up to twelve, one a region."""

import base64
from dataclasses import dataclass
from reprlib import repr as short_repr

import numpy as np
import torch
from torch import Tensor

from sofgan.errors import InputError
from sofgan.labels import NAMES, STYLE_GROUPS
from sofgan.siw.mixing import class_to_group

MARK = "style:"  # begins the text of a style
# What a region is called: a class that it consists of, or what its classes are together.
REGION_NAMES = tuple("lips" if NAMES[group[0]] == "u_lip" else NAMES[group[0]] for group in STYLE_GROUPS)


def region_index(name: str) -> int:
    """Number of a region in `STYLE_GROUPS`.

    Raises:
        InputError: there is none of that name.
    """
    if name not in REGION_NAMES:
        raise InputError(f"there is no region {short_repr(name)}: regions are {', '.join(REGION_NAMES)}")
    return REGION_NAMES.index(name)


@dataclass(frozen=True)
class Look:
    """Styles by region.

    Attributes:
        w: (12, w_dim) a style for each of `REGION_NAMES`; or (12, layers, w_dim), a style a layer of the painter, as
            looks of photos have.
    """

    w: Tensor

    @classmethod
    def of(cls, w: Tensor) -> "Look":
        """One style (w_dim,) for all regions."""
        return cls(w.expand(len(REGION_NAMES), -1))

    def restyled(self, region: str, other: "Look") -> "Look":
        """This look with a region's style, that of the region's name, out of another look.

        Raises:
            InputError: there is no such region.
        """
        index, (w, others) = region_index(region), _alike(self.w, other.w)
        w = w.clone()
        w[index] = others[index]
        return Look(w)

    def towards(self, other: "Look", share: float) -> "Look":
        """A look on the way to another one: itself at 0, the other at 1."""
        w, others = _alike(self.w, other.w)
        return Look(w.lerp(others, share))

    def styles(self) -> tuple[Tensor, Tensor]:
        """Different styles (K, w_dim) or (K, layers, w_dim), and which of them each class has (17,) int64."""
        w, of_region = torch.unique(self.w, dim=0, return_inverse=True)
        return w, of_region[class_to_group(self.w.device)]


def _alike(w: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both styles with a row for each layer, where one of them has."""
    if w.dim() < other.dim():
        return w[:, None].expand_as(other), other
    if other.dim() < w.dim():
        return w, other[:, None].expand_as(w)
    return w, other


def style_text(look: Look, region: str) -> str:
    """A region's style as text, for records."""
    style = look.w[region_index(region)].detach().cpu().float().numpy()
    return MARK + base64.b64encode(style.tobytes()).decode()


def with_style(look: Look, region: str, text: str, layers: int) -> Look:
    """A look with a region's style out of such a text.

    Args:
        layers: of the painter.

    Raises:
        InputError: it is none, or one of another painter.
    """
    try:
        numbers = np.frombuffer(base64.b64decode(text.removeprefix(MARK), validate=True), np.float32)
    except ValueError as error:
        raise InputError(f"the style of the region {region} is damaged") from error
    width = look.w.shape[-1]
    rows = len(numbers) // width
    is_whole = rows in (1, layers) and len(numbers) == rows * width and np.isfinite(numbers).all()
    if not text.startswith(MARK) or not is_whole:
        raise InputError(f"the style of the region {region} is one of another painter, or damaged")
    style = torch.from_numpy(numbers.copy()).to(look.w).reshape(rows, width)
    one = Look.of(style[0]) if rows == 1 else Look(style.expand(len(REGION_NAMES), -1, -1))
    return look.restyled(region, one)
