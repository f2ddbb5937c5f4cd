"""From a generator's draws to a finished avatar."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sofgan import labels
from sofgan.avatars import accessories, clothes, colors, face_parts, hair, makehuman, shape, surfaces
from sofgan.avatars.face_parts import make_part
from sofgan.avatars.parts import Avatar, Part
from sofgan.avatars.template import Template, morphed, template

_EYES_MIDDLE = np.array([0.0, 7.509, 1.209])
# Shares of the people who wear them; earrings only where ears show.
_HAT, _GLASSES, _EARRINGS_MALE, _EARRINGS_FEMALE = 0.13, 0.28, 0.15, 0.6
_NECKLACE_MALE, _NECKLACE_FEMALE = 0.12, 0.42
_UNDER_HATS = ("bald", "cropped", "short", "bob", "long")


@dataclass(frozen=True)
class AvatarModel:
    """Builds avatars; hold one a process."""

    template: Template

    @classmethod
    def load(cls) -> AvatarModel:
        """Read the MakeHuman data and prepare the shared bust (about a second; cached in the process)."""
        for name in shape.all_targets():
            makehuman.target(name)
        return cls(template())

    def build(self, name: str, generator: np.random.Generator) -> Avatar:
        """A new person. All that is random comes from `generator`: the same state gives the same avatar."""
        person = shape.draw_person(generator)
        looks = colors.draw_looks(person, generator)
        base = morphed(person.weights)
        # Tall and small people look out from the same height: the eyes' middle is where the reference head has it.
        base += _EYES_MIDDLE - (face_parts.eye_ball(base, "l")[0] + face_parts.eye_ball(base, "r")[0]) / 2
        vertices = self.template.matrix @ base
        normals = surfaces.vertex_normals(vertices, self.template.faces)
        beard = colors.beard_mask(self.template, generator)
        if looks.stubble > 0.8:  # Long enough to have a body of its own.
            vertices = vertices + normals * (0.035 * looks.stubble * beard**2)[:, None]
            normals = surfaces.vertex_normals(vertices, self.template.faces)
        arch = generator.uniform(0.02, 0.055)
        thickness = generator.uniform(0.03, 0.045) if person.male > 0.5 else generator.uniform(0.02, 0.034)
        brow_level = face_parts.brow_level(self.template.rest, arch, thickness, generator.uniform(0.92, 1.06))
        skin = colors.skin_albedo(self.template, vertices, normals, beard, looks, person, generator)
        skin = colors.mix(skin, looks.brow, 0.3 * np.exp(np.minimum(brow_level, 0) / 0.012))
        parameters: dict[str, float | str] = {"expression": person.expression, "hair_color": looks.hair_name}
        parameters["beard"] = "full" if looks.stubble > 0.8 else "stubble" if looks.stubble > 0.08 else "none"
        garment = clothes.dress(self.template, vertices, normals, person.male, generator)
        parameters |= {"neckline": garment.neckline, "fabric": garment.fabric}
        male = person.male > 0.5
        with_hat = generator.random() < _HAT
        style = hair.draw_style(person.male, generator, _UNDER_HATS if with_hat else tuple(hair.STYLES))
        low = self.template.at_neck & (self.template.rest[:, 1] < 6.5)
        clearance = 0.26 if garment.neckline in ("shirt", "turtleneck") else 0.1
        head = hair.Head(vertices, vertices[low], normals[low], looks, with_hat, clearance)
        worn, ears_hidden = hair.grow(style, head, person.male, person.age, generator)
        parameters["hair"] = style
        if with_hat:
            part, parameters["hat"] = accessories.hat(vertices, generator)
            worn.append(part)
        if generator.random() < _GLASSES:
            parts, words = accessories.glasses(self.template, vertices, base, generator)
            worn += parts
            parameters |= words
        if not ears_hidden and generator.random() < (
            _EARRINGS_MALE if person.male > 0.5 else _EARRINGS_FEMALE
        ):
            parts, parameters["earrings"] = accessories.earrings(self.template, vertices, generator)
            worn += parts
        if garment.neckline != "turtleneck" and generator.random() < (
            _NECKLACE_MALE if male else _NECKLACE_FEMALE
        ):
            part, parameters["necklace"] = clothes.necklace(
                self.template, vertices, normals, garment, generator
            )
            worn.append(part)
        keep = (garment.below[self.template.faces] < 0.12).any(1)
        if ears_hidden:
            vertices = _pressed_ears(self.template, vertices)
        parts = [
            *_bust_parts(self.template, vertices, skin, keep),
            *face_parts.eyes(base, person, looks, generator),
            *face_parts.brows(self.template, vertices, normals, brow_level, looks, generator),
            *face_parts.mouth_parts(base, person, generator),
            *(
                replace(part, faces=surfaces.wound_outwards(part.vertices, part.faces))
                for part in (*garment.parts, *worn)
            ),
        ]
        return Avatar(name=name, parts=tuple(parts), parameters=parameters)


def _pressed_ears(template: Template, vertices: np.ndarray) -> np.ndarray:
    """Ears laid against the head, so that they don't come through the hair over them."""
    x = vertices[:, 0]
    ears = template.masks["ears"] * (template.rest[:, 1] > 6.8)
    root = np.abs(x[ears > 0.5]).min()
    pressed = vertices.copy()
    pressed[:, 0] -= 0.75 * ears * np.sign(x) * np.clip(np.abs(x) - root, 0, None)
    return pressed


def _bust_parts(template: Template, vertices: np.ndarray, skin: np.ndarray, keep: np.ndarray) -> list[Part]:
    """The bust's own regions as named parts; `keep` (F,) leaves out what is covered."""
    classes = template.face_labels
    side = template.rest[template.faces].mean(1)[:, 0]
    regions = {
        "skin": (classes == labels.SKIN, 0.55),
        "nose": ((classes == labels.R_NOSE) | (classes == labels.L_NOSE), 0.5),
        "upper_lip": (classes == labels.U_LIP, 0.4),
        "lower_lip": (classes == labels.L_LIP, 0.4),
        "mouth": (classes == labels.MOUTH, 0.5),
        "left_ear": ((classes == labels.EAR) & (side > 0), 0.6),
        "right_ear": ((classes == labels.EAR) & (side < 0), 0.6),
        "neck": (classes == labels.NECK, 0.6),
    }
    parts = []
    for name, (region, roughness) in regions.items():
        chosen = region & keep
        if not chosen.any():
            continue
        faces, used = surfaces.compact(template.faces[chosen], len(vertices))
        color = skin[used]
        if name == "mouth":
            color = colors.mix(color * 0 + np.array([118.0, 46, 46]), np.array([40.0, 12, 14]), 0.6)
        parts.append(make_part(name, vertices[used], faces, classes[chosen], color, roughness))
    return parts
