"""All that judges pictures in a training, and what the judgements cost both sides."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sofgan.siw import losses
from sofgan.siw.config import DiscriminatorConfig
from sofgan.siw.critics.augment import augment, augment_some
from sofgan.siw.critics.palette import PaletteCritic, palette, palette_loss
from sofgan.siw.critics.projected import ProjectedDiscriminator
from sofgan.siw.critics.regions import RegionCritic, naming_loss, unmasking_loss
from sofgan.siw.critics.residual import ResidualDiscriminator
from sofgan.siw.operators import resize_weights

SIGN_RATE = 0.05  # of the running mean of the signs of verdicts on photos, a step
LEAST_SIZE = 32  # pixels, of which the frozen network makes one place at its coarsest
MOST_AUGMENTED = 0.8  # probability above which augmentations leak into what is painted (arXiv 2006.06676)


@dataclass(frozen=True)
class Seen:
    """Inputs of the critics for one batch of pictures; fields of critics that aren't in use are None."""

    images: Tensor  # (B, 3, R, R) for the residual critic
    palettes: Tensor | None  # (B, 60) for the palette critic
    features: list[Tensor] | None  # of the projected critic, finest first
    augmented: Tensor | None  # (B, 3, P, P): what the features were taken of
    regions: Tensor | None  # (B, 17, P/2, P/2): class shares at the places that the region critic names

    def detach(self) -> "Seen":
        """Without the way back to whatever painted the pictures."""
        features = None if self.features is None else [x.detach() for x in self.features]
        augmented = None if self.augmented is None else self.augmented.detach()
        palettes = None if self.palettes is None else self.palettes.detach()
        return Seen(self.images.detach(), palettes, features, augmented, self.regions)

    def differentiable(self) -> list[Tensor]:
        """Those that losses are differentiated by; of `detach`'s result, as many in the same order."""
        found = [self.images, self.palettes, *(self.features or []), self.augmented]
        return [tensor for tensor in found if tensor is not None]


@dataclass(frozen=True)
class Verdicts:
    """Verdicts of the critics on `seen`."""

    seen: Seen
    residual: Tensor | None  # (B, 1) logits
    projected: list[Tensor] | None  # (B, n) logits for each scale
    names: Tensor | None  # (B, 18, P/2, P/2) logits
    palette: Tensor | None  # (B, 1) logits


class Critics(nn.Module):
    """The discriminators in use: residual, projected, region critic; None where one isn't.

    Args:
        resolution: of the pictures at the end of the training, pixels.
        smaller: sizes of those that come before.

    Attributes:
        augmented: probability of each augmentation of what the residual critic sees, a scalar tensor (see `adapt`).
    """

    def __init__(self, config: DiscriminatorConfig, resolution: int, smaller: Iterable[int] = ()):
        super().__init__()
        self.config = config
        self.residual = None
        if config.kind != "projected":
            self.residual = ResidualDiscriminator(config, resolution, smaller)
        self.register_buffer("augmented", torch.zeros(()))
        self.register_buffer("sign", torch.zeros(()))
        self.projected = ProjectedDiscriminator(config) if config.kind != "residual" else None
        self.region = None
        if config.region_weight:
            self.region = RegionCritic(config.projected_channels, config.region_channels)
        self.palette = None
        if config.palette_weight:
            self.palette = PaletteCritic(config.palette_channels, config.minibatch_group)

    def augment_for_residual(self, images: Tensor, draws: torch.Generator) -> Tensor:
        """Pictures as the residual critic sees them: those of a small set, changed now and then."""
        if not self.config.residual_augment or self.residual is None:
            return images
        return augment_some(images, self.config.residual_augment, self.augmented, draws)

    def adapt(self, sign_real: Tensor, target: float, change: float) -> Tensor:
        """Augment more where the residual critic is too sure of photos, else less (arXiv 2006.06676).

        Args:
            sign_real: mean sign of its verdicts on photos: 1 where it knows them all, 0 if it can't tell.
            target: of its running mean.
            change: of the probability.

        Returns:
            The new probability.
        """
        self.sign.lerp_(sign_real, SIGN_RATE)
        return self.augmented.add_(torch.sign(self.sign - target) * change).clamp_(0, MOST_AUGMENTED).clone()

    def renormalize(self) -> None:
        """Bring spectral norms up to date with the weights. Judging leaves them as they are, so that parts of a batch,
        on several threads too, are judged by the same weights."""
        with torch.no_grad():
            for module in self.modules():
                if parametrize.is_parametrized(module, "weight"):
                    module.train()
                    module.weight  # noqa: B018  In this mode its computation takes a step of the power iteration.
                    module.eval()

    @property
    def need_maps(self) -> bool:
        """Whether pictures are judged by what their label maps say."""
        return self.region is not None or self.palette is not None

    def look(self, images: Tensor, maps: Tensor | None, draws: torch.Generator) -> Seen:
        """Augment pictures and take their features.

        Args:
            images: (B, 3, R, R) in [-1, 1].
            maps: (B, 17, L, L) one-hot label maps that the pictures show or should show, where there is `need_maps`.
            draws: of the augmentations.
        """
        plain = self.augment_for_residual(images, draws)
        palettes = self._palettes(images, maps) if self.palette is not None else None
        if self.projected is None:
            return Seen(plain, palettes, None, None, None)
        # Small pictures are enlarged, as the network knows things at the size at which it learned them; more than
        # twice costs time and brings nothing.
        size = min(self.config.projected_size, max(LEAST_SIZE, 2 * images.shape[-1]))
        augmented = resize_images(images, size)
        if self.region is not None:
            # Maps move with their pictures, and what is cut out of these is unknown in those.
            augmented = torch.cat((augmented, resize_weights(maps, size).to(augmented.dtype)), 1)
        policies, hole = self.config.projected_augment, self.config.projected_cutout
        augmented, moved = augment(augmented, policies, draws, hole).tensor_split([3], 1)
        regions = F.avg_pool2d(moved.detach().float(), 2) if self.region is not None else None
        return Seen(plain, palettes, self.projected.features(augmented), augmented, regions)

    def judge(self, seen: Seen) -> Verdicts:
        """Every critic's verdict, all but the residual one's in full precision."""
        residual, projected, names, palettes = None, None, None, None
        if self.residual is not None:
            residual = self.residual(seen.images).float()
        if self.projected is not None:
            projected = self.projected.judge(seen.features)
        # In full precision, as the projected heads are.
        with torch.autocast(seen.images.device.type, enabled=False):
            if self.region is not None:
                names = self.region(seen.augmented.float(), seen.features[0].float())
            if self.palette is not None:
                palettes = self.palette(seen.palettes)
        return Verdicts(seen, residual, projected, names, palettes)

    def judge_photos(self, seen: Seen) -> Verdicts:
        """`judge`, such that `discriminator_loss` can differentiate by palettes."""
        if seen.palettes is not None:
            seen.palettes.requires_grad_()
        return self.judge(seen)

    def discriminator_loss(self, real: Verdicts, fake: Verdicts, scalars: dict[str, Tensor]) -> Tensor:
        """Loss of the critics on photos (`judge_photos`) and painted pictures; `scalars` gets their verdicts.

        Photos and painted pictures are judged apart, so that minibatch deviations compare like with like.
        """
        total = torch.zeros((), device=real.seen.images.device)
        if self.residual is not None:
            total = total + losses.logistic_discriminator(real.residual, fake.residual)
            scalars["logit_real"] = real.residual.mean()
            scalars["logit_fake"] = fake.residual.mean()
            scalars["sign_real"] = real.residual.sign().mean()
        if self.projected is not None:
            total = total + losses.hinge_discriminator(real.projected, fake.projected)
            scalars["projected_real"] = torch.stack([r.mean() for r in real.projected]).mean()
            scalars["projected_fake"] = torch.stack([f.mean() for f in fake.projected]).mean()
        if self.region is not None:
            named = naming_loss(real.names, real.seen.regions)
            unmasked = unmasking_loss(fake.names, fake.seen.regions)
            total = total + self.config.region_weight * (named + unmasked)
            scalars["regions_real"], scalars["regions_painted"] = named, unmasked
        if self.palette is not None:
            total = total + palette_loss(real.palette, fake.palette, real.seen.palettes)
            scalars["palette_real"], scalars["palette_fake"] = real.palette.mean(), fake.palette.mean()
        scalars["loss_d"] = total
        return total

    def generator_loss(self, fake: Verdicts, scalars: dict[str, Tensor]) -> Tensor:
        """Loss of the generator by the critics' verdicts on painted pictures; `scalars` gets it."""
        total = torch.zeros((), device=fake.seen.images.device)
        if self.projected is not None:
            total = total + losses.hinge_generator(fake.projected)
        if self.residual is not None:
            total = total + losses.logistic_generator(fake.residual)
        if self.region is not None:
            scalars["regions_fake"] = named = naming_loss(fake.names, fake.seen.regions)
            total = total + self.config.region_weight * named
        if self.palette is not None:
            total = total + self.config.palette_weight * losses.logistic_generator(fake.palette)
        scalars["loss_g"] = total
        return total

    @staticmethod
    def _palettes(images: Tensor, maps: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            small = F.avg_pool2d(images.float(), 2)
            return palette(small, resize_weights(maps, small.shape[-1]))


def resize_images(images: Tensor, size: int) -> Tensor:
    """(B, 3, R, R) to (B, 3, size, size), antialiased bilinear."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)
