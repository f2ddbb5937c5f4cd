"""Training of the SIW StyleGAN: one step, and the loop around it."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sofgan.config import to_mapping
from sofgan.labels import NUM_CLASSES
from sofgan.progress import Throughput
from sofgan.seeds import derive_seed, torch_generator
from sofgan.siw import losses
from sofgan.siw.augment import augment
from sofgan.siw.config import DiscriminatorConfig, TrainSiw
from sofgan.siw.data import Batch, Batches
from sofgan.siw.discriminator import ResidualDiscriminator
from sofgan.siw.generator import Generator, random_noise
from sofgan.siw.mixing import draw_similarity, draw_styles, two_style_weights
from sofgan.siw.model import Siw
from sofgan.siw.projected import ProjectedDiscriminator
from sofgan.siw.samples import sample_grid
from sofgan.training import Checkpoints, ema_beta, update_ema

Report = Callable[[int, dict[str, float], dict[str, np.ndarray]], None]
W_AVERAGE_RATE = 0.005  # StyleGAN2's w_avg_beta 0.995
LAST_LEARNING_RATE = 0.1  # of the full one, at the end of the cool-down


class TrainingDiverged(RuntimeError):
    """A loss or a weight is no longer finite. The last good state is on disk."""


class Critics(nn.Module):
    """The discriminators in use: residual, projected or both."""

    def __init__(self, config: DiscriminatorConfig, resolution: int):
        super().__init__()
        self.config = config
        self.residual = ResidualDiscriminator(config, resolution) if config.kind != "projected" else None
        self.projected = ProjectedDiscriminator(config) if config.kind != "residual" else None


class SiwTraining:
    """Networks, optimisers and one training step.

    Args:
        config: the block `train_siw`.
        seed: of initial weights and of every draw; a step's draws depend on it and the step's number.
        autocast: bfloat16 in the networks, float32 in the regularisers.

    Attributes:
        ema: the averaged generator, which is the result.
        seen: photos shown so far.
    """

    def __init__(self, config: TrainSiw, seed: int, device: torch.device | str, autocast: bool = False):
        self.config, self.seed, self.device, self.autocast = config, seed, torch.device(device), autocast
        with torch.random.fork_rng(devices=[]):  # Layers initialise from the global generator.
            torch.manual_seed(derive_seed(seed, "siw", "init"))
            generator = Generator(config.generator)
            critics = Critics(config.discriminator, config.generator.resolution)
        layout = torch.channels_last
        self.generator = generator.to(self.device, memory_format=layout)
        self.critics = critics.to(self.device, memory_format=layout)
        self.ema = copy.deepcopy(self.generator).requires_grad_(False)
        self.learned = [p for p in self.critics.parameters() if p.requires_grad]
        self.optimizer_g = self._adam(list(self.generator.parameters()), config.learning_rate_generator)
        self.optimizer_d = self._adam(self.learned, config.learning_rate_discriminator)
        self.mean_path_length = torch.zeros((), device=self.device)
        self.seen = 0

    def _adam(self, parameters: list[Tensor], rate: float) -> torch.optim.Adam:
        # The lazy regularisers share the main losses' steps, so StyleGAN2's correction of rates isn't needed.
        return torch.optim.Adam(parameters, lr=rate, betas=(0.0, 0.99), eps=1e-8, fused=True)

    def step(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Update the discriminators, the generator and its average; scalars stay on the device."""
        config, draws = self.config, torch_generator(self.seed, "siw", "step", step, device=self.device)
        scalars: dict[str, Tensor] = {}
        self._set_learning_rates()

        # Fakes for both updates, or the first of two batches.
        with torch.set_grad_enabled(config.share_fakes):
            fakes, features = self._fakes(batch.labels[0], draws)
        # Update the discriminators.
        self._learn_critics(True)
        loss = self._discriminator_loss(batch.photos, fakes, features, draws, scalars)
        if self.critics.residual is not None and config.r1_every and step % config.r1_every == 0:
            penalty = self._r1(batch.photos)
            scalars["r1"] = penalty.detach()
            loss = loss + penalty * (0.5 * config.r1_gamma * config.r1_every)
        self.optimizer_d.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer_d.step()

        # Update the generator.
        self._learn_critics(False)
        if not config.share_fakes:
            fakes, features = self._fakes(batch.labels[1], draws)
        loss = self._generator_loss(fakes, features, scalars)
        if config.path_length_every and step % config.path_length_every == 0:
            penalty = self._path_length(batch.labels[0], draws)
            scalars["path_length"] = self.mean_path_length
            loss = loss + penalty * (config.path_length_weight * config.path_length_every)
        self.optimizer_g.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer_g.step()

        # Update the average, whose half-life starts short.
        self.seen += len(batch.photos)
        halflife = min(1000 * config.ema_halflife_kimg, config.ema_rampup * self.seen)
        update_ema(self.ema, self.generator, ema_beta(len(batch.photos), halflife))
        return scalars

    def _set_learning_rates(self) -> None:
        config, total = self.config, 1000 * self.config.kimg
        left = (total - self.seen) / max(1.0, config.cooldown * total)
        factor = LAST_LEARNING_RATE + (1 - LAST_LEARNING_RATE) * min(1.0, max(0.0, left))
        self.optimizer_g.param_groups[0]["lr"] = config.learning_rate_generator * factor
        self.optimizer_d.param_groups[0]["lr"] = config.learning_rate_discriminator * factor

    def _learn_critics(self, learn: bool) -> None:
        for parameter in self.learned:
            parameter.requires_grad_(learn)

    def _mixed(self):
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocast)

    def _codes(self, labels: Tensor, draws: torch.Generator):
        """One-hot maps, styles w and region weights of a pass."""
        config = self.config
        kind, network = config.generator.mixing, self.generator
        z, second = draw_styles(
            len(labels), config.generator.z_dim, kind, network.layers, config.two_style_probability, draws
        )
        w = network.mapping(z)
        weights = None
        if kind in ("input", "output"):
            weights = two_style_weights(
                labels, draw_similarity(len(labels), config.soft_mix_probability, draws)
            )
        elif kind == "layerwise":
            w = torch.where(second[:, None, :, None], w[:, 1, None, None], w[:, 0, None, None])
        return _one_hot(labels), w, weights

    def _fakes(self, labels: Tensor, draws: torch.Generator) -> tuple[Tensor, list[Tensor] | None]:
        """Painted maps, and their features for the projected discriminator."""
        with self._mixed():
            one_hot, w, weights = self._codes(labels, draws)
            fakes = self.generator.synthesize(one_hot, w, weights, random_noise(draws))
            with torch.no_grad():
                mean = w.detach().float().reshape(-1, w.shape[-1]).mean(0)
                self.generator.w_average.lerp_(mean, W_AVERAGE_RATE)
            return fakes, self._features(fakes, draws)

    def _features(self, images: Tensor, draws: torch.Generator) -> list[Tensor] | None:
        if self.critics.projected is None:
            return None
        policies = self.config.discriminator.projected_augment
        return self.critics.projected.features(augment(images, policies, draws))

    def _discriminator_loss(self, photos, fakes, features, draws, scalars) -> Tensor:
        loss = torch.zeros((), device=self.device)
        with self._mixed():
            if self.critics.residual is not None:
                # Apart, so that the minibatch deviation compares real with real and fake with fake.
                real = self.critics.residual(photos).float()
                fake = self.critics.residual(fakes.detach()).float()
                loss = loss + losses.logistic_discriminator(real, fake)
                scalars["logit_real"], scalars["logit_fake"] = real.detach().mean(), fake.detach().mean()
            if self.critics.projected is not None:
                with torch.no_grad():
                    real = self._features(photos, draws)
                both = [torch.cat((r, f.detach())) for r, f in zip(real, features)]
                logits = [x.float().chunk(2) for x in self.critics.projected.judge(both)]
                hinge = losses.hinge_discriminator([r for r, _ in logits], [f for _, f in logits])
                scalars["projected_real"] = torch.stack([r.detach().mean() for r, _ in logits]).mean()
                scalars["projected_fake"] = torch.stack([f.detach().mean() for _, f in logits]).mean()
                loss = loss + hinge
        scalars["loss_d"] = loss.detach()
        return loss

    def _generator_loss(self, fakes, features, scalars) -> Tensor:
        loss = torch.zeros((), device=self.device)
        with self._mixed():
            if self.critics.projected is not None:
                logits = [x.float() for x in self.critics.projected.judge(features)]
                loss = loss + losses.hinge_generator(logits)
            if self.critics.residual is not None:
                weight = (
                    self.config.discriminator.residual_weight if self.critics.projected is not None else 1.0
                )
                loss = loss + weight * losses.logistic_generator(self.critics.residual(fakes).float())
        scalars["loss_g"] = loss.detach()
        return loss

    def _r1(self, photos: Tensor) -> Tensor:
        photos = photos.detach().requires_grad_()
        return losses.r1_penalty(self.critics.residual(photos), photos)

    def _path_length(self, labels: Tensor, draws: torch.Generator) -> Tensor:
        one_hot, w, weights = self._codes(labels[: max(1, len(labels) // 2)], draws)
        images = self.generator.synthesize(one_hot, w, weights, random_noise(draws))
        penalty, self.mean_path_length = losses.path_length_penalty(images, w, self.mean_path_length, draws)
        return penalty

    def state_dict(self) -> dict:
        """All that a resumed training needs."""
        return {
            "generator": self.generator.state_dict(),
            "ema": self.ema.state_dict(),
            "critics": self.critics.state_dict(),
            "optimizer_g": self.optimizer_g.state_dict(),
            "optimizer_d": self.optimizer_d.state_dict(),
            "mean_path_length": self.mean_path_length,
            "seen": self.seen,
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state of the same configuration."""
        self.generator.load_state_dict(state["generator"])
        self.ema.load_state_dict(state["ema"])
        self.critics.load_state_dict(state["critics"], strict=False)  # The frozen backbone isn't in it.
        self._learn_critics(True)
        self.optimizer_g.load_state_dict(state["optimizer_g"])
        self.optimizer_d.load_state_dict(state["optimizer_d"])
        self.mean_path_length = state["mean_path_length"].to(self.device)
        self.seen = state["seen"]


def _one_hot(labels: Tensor) -> Tensor:
    return F.one_hot(labels, NUM_CLASSES).movedim(-1, 1).float()


def train(
    config: TrainSiw,
    photos,
    maps: dict,
    grid_labels: np.ndarray,
    seed: int,
    device: torch.device | str,
    checkpoints: Path,
    inputs: dict,
    report: Report,
    status: Callable[[str], None],
) -> tuple[Siw, list[dict[str, float]]]:
    """Train to `config.kimg` thousand photos, resuming where an equal training was stopped.

    Args:
        photos: source of photos (see `sofgan.siw.data`).
        maps: name to source of label maps.
        grid_labels: (rows, S, S) uint8 maps of the sample grid.
        checkpoints: folder of the resume state.
        inputs: plain data that tells one set of inputs from another (hashes); with the configuration it
            decides whether a state may be resumed.
        report: gets (step, scalars, {"samples/grid": picture}) every `report_every_kimg`.
        status: gets a line now and then.

    Returns:
        The averaged generator, and a row of scalars for each report.

    Raises:
        TrainingDiverged: a loss or a weight is not finite.
    """
    training = SiwTraining(config, seed, device, config.autocast and torch.device(device).type == "cuda")
    size = config.generator
    batches = Batches(
        photos, maps, config.map_proportions, config.batch, 1 if config.share_fakes else 2,
        size.resolution, size.label_size, config.scale_max, config.mirror, seed, device,
    )  # fmt: skip
    states = Checkpoints(checkpoints, {"config": to_mapping(config), "seed": seed, "inputs": inputs})
    total = max(1, round(1000 * config.kimg / config.batch))
    tick = max(1, round(1000 * config.report_every_kimg / config.batch))
    first, rows = 0, []
    found = states.latest(training.device)
    if found is not None:
        first, state = found
        rows = state.pop("rows")
        training.load_state_dict(state)
    speed = Throughput(total * config.batch, first * config.batch)
    sums: dict[str, list] = {}
    for step in range(first, total):
        for name, value in training.step(step, batches(step)).items():
            total_and_count = sums.setdefault(name, [torch.zeros((), device=training.device), 0])
            total_and_count[0] += value
            total_and_count[1] += 1
        speed.update((step + 1) * config.batch)
        if training.device.type == "cpu" or step % 50 == 0:
            status(speed.line("img"))
        if (step + 1) % tick and step + 1 != total:
            continue

        # Look at it: the only place where the host waits for the device.
        scalars = {name: float(value) / count for name, (value, count) in sorted(sums.items())}
        if not (np.isfinite(list(scalars.values())).all() and _finite(training.generator)):
            raise TrainingDiverged(
                f"losses at step {step + 1} are not finite: {scalars}. The last good state is in {checkpoints}; "
                "a smaller learning rate or a larger r1_gamma usually helps"
            )
        sums = {}
        rows.append({"kimg": training.seen / 1000, **scalars})
        siw = Siw(training.ema, training.device)
        images = {"samples/grid": sample_grid(siw, grid_labels, config.sample_grid[1], seed)}
        report(step + 1, rows[-1], images)
        states.save(step + 1, {**training.state_dict(), "rows": rows})
    return Siw(training.ema, training.device), rows


def _finite(network: nn.Module) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters())
