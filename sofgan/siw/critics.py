"""All that judges pictures in a training, and what the judgements cost both sides."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.siw import losses
from sofgan.siw.augment import augment, augment_some
from sofgan.siw.config import DiscriminatorConfig
from sofgan.siw.discriminator import ResidualDiscriminator
from sofgan.siw.mixing import one_hot
from sofgan.siw.operators import resize_weights
from sofgan.siw.palette import PaletteCritic, palette
from sofgan.siw.projected import ProjectedDiscriminator
from sofgan.siw.regions import RegionCritic, naming_loss, unmasking_loss

SIGN_RATE = 0.05  # of the running mean of the signs of verdicts on photos, a step
PALETTE_R1 = 1.0
MOST_AUGMENTED = 0.8  # probability above which augmentations leak into what is painted (arXiv 2006.06676)


@dataclass(frozen=True)
class Seen:
    """What the critics look at of one batch of pictures."""

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


class Critics(nn.Module):
    """The discriminators in use: residual, projected, region critic; None where one isn't.

    Args:
        resolution: of the pictures at the end of the training, pixels.
        coarse: of those at its beginning.

    Attributes:
        augmented: probability of each augmentation of what the residual critic sees, a scalar tensor (see `adapt`).
    """

    def __init__(self, config: DiscriminatorConfig, resolution: int, coarse: int | None = None):
        super().__init__()
        self.config, self.resolution = config, resolution
        self.residual = None
        if config.kind != "projected":
            self.residual = ResidualDiscriminator(config, resolution, coarse)
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

    def look(self, images: Tensor, labels: Tensor | None, draws: torch.Generator) -> Seen:
        """Augment pictures and take their features.

        Args:
            images: (B, 3, R, R) in [-1, 1].
            labels: (B, L, L) long, the maps that the pictures show or should show; only the region critic needs them.
            draws: of the augmentations.
        """
        plain = self.augment_for_residual(images, draws)
        palettes = self._palettes(images, labels) if self.palette is not None else None
        if self.projected is None:
            return Seen(plain, palettes, None, None, None)
        size = self.config.projected_size * images.shape[-1] // self.resolution
        augmented = resize_images(images, size)
        if self.region is not None:
            # Maps move with their pictures, and what is cut out of these is unknown in those.
            maps = resize_weights(one_hot(labels), size).to(augmented.dtype)
            augmented = torch.cat((augmented, maps), 1)
        augmented, maps = augment(augmented, self.config.projected_augment, draws).tensor_split([3], 1)
        regions = F.avg_pool2d(maps.detach().float(), 2) if self.region is not None else None
        return Seen(plain, palettes, self.projected.features(augmented), augmented, regions)

    def discriminator_loss(self, real: Seen, fake: Seen, scalars: dict[str, Tensor]) -> Tensor:
        """What the critics learn from photos and painted pictures; `scalars` gets their verdicts."""
        total = torch.zeros((), device=real.images.device)
        if self.residual is not None:
            # Apart, so that the minibatch deviation compares real with real and fake with fake.
            logits_real = self.residual(real.images).float()
            logits_fake = self.residual(fake.images).float()
            total = total + losses.logistic_discriminator(logits_real, logits_fake)
            scalars["logit_real"] = logits_real.detach().mean()
            scalars["logit_fake"] = logits_fake.detach().mean()
            scalars["sign_real"] = logits_real.detach().sign().mean()
        if self.projected is not None:
            both = [torch.cat(pair) for pair in zip(real.features, fake.features)]
            logits = [x.float().chunk(2) for x in self.projected.judge(both)]
            logits_real, logits_fake = [r for r, _ in logits], [f for _, f in logits]
            total = total + losses.hinge_discriminator(logits_real, logits_fake)
            scalars["projected_real"] = torch.stack([r.detach().mean() for r in logits_real]).mean()
            scalars["projected_fake"] = torch.stack([f.detach().mean() for f in logits_fake]).mean()
        if self.region is not None:
            both = torch.cat((real.augmented, fake.augmented))
            names_real, names_fake = self._names(both, torch.cat((real.features[0], fake.features[0]))).chunk(
                2
            )
            named = naming_loss(names_real, real.regions)
            unmasked = unmasking_loss(names_fake, fake.regions)
            total = total + self.config.region_weight * (named + unmasked)
            scalars["regions_real"], scalars["regions_painted"] = named.detach(), unmasked.detach()
        if self.palette is not None:
            total = total + self.palette_loss(real.palettes, fake.palettes, scalars)
        scalars["loss_d"] = total.detach()
        return total

    def palette_loss(self, real: Tensor, fake: Tensor, scalars: dict[str, Tensor]) -> Tensor:
        """What the palette critic learns from photos' and painted pictures' palettes (B, 60)."""
        real = real.detach().requires_grad_()
        logits_real, logits_fake = self.palette(real), self.palette(fake)
        scalars["palette_real"] = logits_real.detach().mean()
        scalars["palette_fake"] = logits_fake.detach().mean()
        penalty = 0.5 * PALETTE_R1 * losses.r1_penalty(logits_real, real)
        return losses.logistic_discriminator(logits_real, logits_fake) + penalty

    def generator_loss(self, fake: Seen, scalars: dict[str, Tensor]) -> Tensor:
        """What painted pictures must change; `scalars` gets the loss."""
        total = torch.zeros((), device=fake.images.device)
        if self.projected is not None:
            total = total + losses.hinge_generator([x.float() for x in self.projected.judge(fake.features)])
        if self.residual is not None:
            weight = self.config.residual_weight if self.projected is not None else 1.0
            total = total + weight * losses.logistic_generator(self.residual(fake.images).float())
        if self.region is not None:
            named = naming_loss(self._names(fake.augmented, fake.features[0]), fake.regions)
            total = total + self.config.region_weight * named
            scalars["regions_fake"] = named.detach()
        if self.palette is not None:
            total = total + self.config.palette_weight * losses.logistic_generator(
                self.palette(fake.palettes)
            )
        scalars["loss_g"] = total.detach()
        return total

    @staticmethod
    def _palettes(images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            size = images.shape[-1] // 2
            return palette(F.avg_pool2d(images.float(), 2), resize_weights(one_hot(labels), size))

    def _names(self, images: Tensor, features: Tensor) -> Tensor:
        # In full precision, as the projected heads are.
        with torch.autocast(images.device.type, enabled=False):
            return self.region(images.float(), features.float())


def resize_images(images: Tensor, size: int) -> Tensor:
    """(B, 3, R, R) to (B, 3, size, size), antialiased bilinear."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)
