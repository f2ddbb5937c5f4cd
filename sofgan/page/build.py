"""The page's text: heads, looks and the painter of an engine, with all that shows them."""

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import torch

from sofgan.apps.edited_heads import MARK
from sofgan.apps.engine import Engine
from sofgan.apps.looks import REGION_NAMES
from sofgan.apps.photo_head import PhotoEngine
from sofgan.apps.results import Page
from sofgan.errors import InputError
from sofgan.labels import NAMES, PALETTE
from sofgan.page import heads, painter
from sofgan.progress import Progress

MOST_BYTES = 12_000_000
BASE64 = 4 / 3  # characters a byte
FAR_TOO_MANY = 1.25  # times the limit, by the first head
WORK = ("kernel.js", "painter.js", "head.js", "worker.js")  # run in a worker, one after another


@dataclass(frozen=True)
class Content:
    """What a page carries.

    Attributes:
        names: of the heads, as `Engine.head` takes them.
        looks: how many looks, those of the seeds from 0.
        look: seed of the look that it opens with.
        psi, head_psi: truncation of styles at first, and of heads.
        size: of the label maps that it paints, pixels.
        title: above it, and the document's.
        turns: whether the head turns by itself until it is touched.
    """

    names: Sequence[str | int]
    looks: int = 100
    look: int = 0
    psi: float = 0.7
    head_psi: float = 1.0
    size: int = 128
    title: str = "Turn a head, restyle it"
    turns: bool = True


def build(engine: Engine, content: Content, progress: Progress | None = None) -> Page:
    """One HTML file that needs nothing beside it. That of a photo's engine opens as the photo was taken, in its look.

    Raises:
        InputError: the field can't be baked, the painter is one that the page can't paint by, no seed of the looks is
            the first one's, or the file would be larger than 12 MB.
    """
    if not engine.can_bake:
        raise InputError(
            "the page needs a field with the marcher `volume`: one with a learned marcher can't be baked"
        )
    if not content.look < content.looks:
        raise InputError(
            f"the page opens with look {content.look}, but carries those from 0 to {content.looks - 1}"
        )
    design, weights = painter.pack(engine.siw.generator)
    packed, scene = [], {}
    for number, name in enumerate(content.names):
        head = engine.baked(engine.head(name, content.head_psi))
        packed.append(heads.pack(head))
        # Heads take seconds each and about as much room as each other: far too many are told after the first.
        if (size := BASE64 * len(packed[0]) * len(content.names)) > FAR_TOO_MANY * MOST_BYTES:
            raise _too_large(size)
        scene = heads.scene(head, engine.camera(0, 0, content.size), engine.shoulders)
        if progress:
            progress.items(number + 1, len(content.names), "heads")
    looks = torch.stack([engine.look(seed).w[0] for seed in range(content.looks)])
    data = {
        "painter": weights.tobytes(),
        "looks": _singles(looks),
        "average": _singles(engine.siw.generator.w_average),
        **{f"head-{number}": one for number, one in enumerate(packed)},
    }
    yaw, pitch = 0.0, 0.0
    if isinstance(engine, PhotoEngine):
        data["photo-look"] = _singles(engine.found.w)
        yaw, pitch = engine.fitted.yaw, engine.fitted.pitch
    facts = {
        "heads": ["edited" if str(name).startswith(MARK) else str(name) for name in content.names],
        "regions": list(REGION_NAMES),
        "classes": list(NAMES),
        "palette": PALETTE.tolist(),
        "look": content.look,
        "psi": content.psi,
        "yaw": yaw,
        "pitch": pitch,
        "side": content.size,
        "turns": content.turns,
        "design": design,
        "scene": scene,
    }
    parts = {
        "title": html.escape(content.title),
        "style": _source("page.css"),
        "about": about(engine),
        "content": json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c"),
        "data": "\n".join(
            f'<script type="application/octet-stream" id="{name}">{base64.b64encode(one).decode()}</script>'
            for name, one in data.items()
        ),
        "work": "\n".join(_source(name) for name in WORK),
        "script": _source("page.js"),
    }
    page = fill(_source("page.html"), parts)
    if (size := len(page.encode())) > MOST_BYTES:
        raise _too_large(size)
    return Page(page)


def _too_large(size: float) -> InputError:
    return InputError(
        f"the page would have {size / 1e6:.1f} MB, of which {MOST_BYTES / 1e6:.0f} may be: name fewer --heads or "
        "--looks"
    )


def fill(page: str, parts: Mapping[str, str]) -> str:
    """A page with its parts where it has [[name]]; what a part has that looks like such a place stays as it is."""
    return re.sub(r"\[\[(\w+)\]\]", lambda place: parts.get(place[1], place[0]), page)


def about(engine: Engine) -> str:
    """A line on the models, as HTML; the same wherever they lie."""
    config = engine.siw.generator.config
    numbers = sum(parameter.numel() for parameter in engine.siw.generator.parameters())
    what = (
        "the package’s starter, learned from invented people alone" if engine.is_starter else "trained models"
    )
    photo = "Field and painter have learned one photo. " if isinstance(engine, PhotoEngine) else ""
    files = ", ".join(
        f"<code>{html.escape(name)}</code> {digest[:10]}" for name, digest in engine.digests.items()
    )
    return (
        f"Model: {what}{f' ({files})' if files else ''}. The painter has {numbers:,} weights, its pictures "
        f"{config.resolution} pixels. {photo}Heads were baked from the field into grids of class scores. Made by "
        "<code>sofgan page</code>, after SofGAN (arXiv 2007.03780)."
    )


def _singles(values: torch.Tensor) -> bytes:
    return values.cpu().numpy().astype("<f4").tobytes()


def _source(name: str) -> str:
    return resources.files("sofgan.page").joinpath(name).read_text(encoding="utf-8").rstrip("\n")
