"""Trainings of the baselines: a step of a paired method, and one loop for all of them.

Batch normalisation sees a batch as a whole, so unlike ours a step is not worked off in parts.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from sofgan import distributed, runtime
from sofgan.baselines import losses
from sofgan.baselines.config import RECIPES, Baseline
from sofgan.baselines.painter import GENERATORS, Painter, PairedPainter
from sofgan.baselines.patch_discriminator import PatchDiscriminators
from sofgan.errors import InputError
from sofgan.images import resize, to_network_range
from sofgan.seeds import derive_seed, numpy_generator, torch_generator
from sofgan.session import UNWATCHED, Session
from sofgan.siw.data import Batch, Batches, Sources
from sofgan.siw.loop import Training, run
from sofgan.siw.mixing import one_hot
from sofgan.siw.model import Siw, maps_to_paint
from sofgan.siw.operators import resize_weights
from sofgan.siw.running_scores import Exam, Examiner, RunningScores
from sofgan.siw.sheets import sample_grid
from sofgan.siw.training_step import SiwTraining
from sofgan.training import ema_beta

AVERAGED = ("running_mean", "running_var")  # buffers that belong to the averaged weights
KEPT = "generator", "ema", "critics", "optimizer_g", "optimizer_d"  # in states


class PairedTraining:
    """Networks, optimisers and one training step of SPADE, SEAN or Pix2PixHD.

    Args:
        baseline: with one of `config.PAIRED`.
        seed: of initial weights and of every draw; a step's draws depend on it and the step's number.
        references: photos (N, 3, R, R) and their maps (N, 17, L, L), whose codes SEAN's random styles are.

    Raises:
        InputError: several processes share the training.

    Attributes:
        ema: the averaged generator, which is the result.
        seen: photos shown so far.
    """

    def __init__(
        self,
        baseline: Baseline,
        seed: int,
        device: torch.device | str,
        references: tuple[Tensor, Tensor] | None = None,
    ):
        method, sizes = baseline.method, baseline.sizes
        if distributed.world_size() > 1:
            raise InputError(f"{method} is trained by one process: its batch norm sees whole batches")
        self.method, self.ours, self.seed, self.device = method, baseline.ours, seed, torch.device(device)
        self.recipe, self.rates, self.references = RECIPES[method], sizes.rates, references
        with torch.random.fork_rng(devices=[]):  # Layers initialise from the global generator.
            torch.manual_seed(derive_seed(seed, method, "init"))
            generator = GENERATORS[method](baseline.paired())
            critics = PatchDiscriminators(
                sizes.patch_scales,
                sizes.patch_channels,
                sizes.patch_channel_max,
                sizes.patch_layers,
                self.recipe.spectral,
            )
        perceptual = losses.PerceptualLoss(sizes.perceptual_size)
        # A fifth faster on CPUs.
        self.generator, self.critics, self.perceptual = (
            network.to(self.device, memory_format=torch.channels_last)
            for network in (generator, critics, perceptual)
        )
        self.ema = copy.deepcopy(self.generator).requires_grad_(False).eval()
        self.optimizer_g, self.optimizer_d = (
            torch.optim.Adam(network.parameters(), lr=rate * self.rates, betas=self.recipe.betas, fused=True)
            for network, rate in (
                (self.generator, self.recipe.learning_rate_generator),
                (self.critics, self.recipe.learning_rate_discriminator),
            )
        )
        self.seen = 0

    def step(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Update the discriminators, the generator and its average, by all threads of the CPU.

        Args:
            batch: photos with their own maps.

        Returns:
            Scalars, which stay on the device.
        """
        with _all_threads():
            scalars = self._learn_from(step, batch)
        self.seen += self.ours.batch
        halflife = min(1000 * self.ours.ema_halflife_kimg, self.ours.ema_rampup * self.seen)
        update_average(self.ema, self.generator, ema_beta(self.ours.batch, halflife))
        return scalars

    def _learn_from(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Update the discriminators, then the generator."""
        recipe, scalars = self.recipe, {}
        self._set_learning_rates()
        draws = torch_generator(self.seed, self.method, "step", step)
        photos, maps = batch.photos, one_hot(batch.photo_labels)
        style, divergence = self.generator.encode(photos, maps, draws)
        noise = [
            distributed.randn((len(photos), 1, size, size), draws, self.device)
            for size in self.generator.noise_sizes
        ]
        painted = self.generator(maps, style, noise)
        beside = resize_weights(maps, painted.shape[-1])

        real, fake = self.critics(photos, beside), self.critics(painted.detach(), beside)
        loss = losses.discriminator_loss(real, fake, recipe.adversarial)
        scalars["loss_d"] = loss.detach()
        scalars["logit_real"], scalars["logit_fake"] = _mean(losses.logits(real)), _mean(losses.logits(fake))
        _learn(self.optimizer_d, loss)

        # The generator learns from the discriminators that have just learned, and moves none of them.
        self.critics.requires_grad_(False)
        with torch.no_grad():
            real = self.critics(photos, beside)
        fake = self.critics(painted, beside)
        parts = {
            "loss_g": (1.0, losses.generator_loss(fake, recipe.adversarial)),
            "features": (recipe.feature_weight, losses.feature_matching(real, fake)),
            "perceptual": (recipe.perceptual_weight, self.perceptual(painted, photos)),
        }
        if divergence is not None:
            parts["divergence"] = recipe.divergence_weight, divergence
        scalars |= {name: value.detach() for name, (_, value) in parts.items()}
        _learn(self.optimizer_g, sum(weight * value for weight, value in parts.values()))
        self.critics.requires_grad_(True)
        return scalars

    def _set_learning_rates(self) -> None:
        """Published rates, constant for a share of the training, then falling to 0 along a line."""
        recipe, total = self.recipe, 1000 * self.ours.kimg
        falling = total * (1 - recipe.constant_share)
        factor = min(1.0, (total - self.seen) / falling) if falling else 1.0
        for optimizer, rate in (
            (self.optimizer_g, recipe.learning_rate_generator),
            (self.optimizer_d, recipe.learning_rate_discriminator),
        ):
            optimizer.param_groups[0]["lr"] = rate * self.rates * max(0.0, factor)

    def painter(self) -> PairedPainter:
        """Painter of the averaged generator as it is now, with SEAN's codes of the reference photos."""
        generator = copy.deepcopy(self.ema)
        if self.references is not None:
            generator.keep_references(*self.references)
        return PairedPainter(generator, self.device)

    def state_dict(self) -> dict:
        """All that a resumed training needs."""
        networks = {name: getattr(self, name).state_dict() for name in KEPT}
        return {**networks, "seen": self.seen}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state of the same method and configuration."""
        for name in KEPT:
            getattr(self, name).load_state_dict(state[name])
        self.seen = state["seen"]


@torch.no_grad()
def update_average(ema: nn.Module, network: nn.Module, beta: float) -> None:
    """Move averaged weights and statistics of batch norms towards the network's; what else it keeps, such as the
    vectors of spectral norms, is copied."""
    torch._foreach_lerp_(list(ema.parameters()), list(network.parameters()), 1 - beta)
    for (name, average), value in zip(ema.named_buffers(), network.buffers()):
        if name.endswith(AVERAGED):
            average.lerp_(value, 1 - beta)
        else:
            average.copy_(value)


@dataclass(frozen=True)
class Started:
    """A training that may begin: what learns, from what, and the painter as it is now."""

    training: Training
    batches: Batches
    painter: Callable[[], Painter]


def start(baseline: Baseline, sources: Sources, seed: int, device: torch.device | str) -> Started:
    """Set up a method's training.

    Args:
        sources: photos with maps of their own, which are all that is painted.

    Raises:
        InputError: photos have no maps of their own.
    """
    if sources.photo_labels is None:
        raise InputError(f"{baseline.method} learns from photos and their own label maps, which are missing")
    sources = replace(sources, heads=None, maps={"parsed": sources.photo_labels})
    own = {"map_proportions": {"parsed": 1.0}}
    if baseline.method == "stylegan2":
        config, sources = replace(baseline.stylegan2(), **own), replace(sources, photo_labels=None)
        autocast = config.autocast and torch.device(device).type == "cuda"
        stylegan2 = SiwTraining(config, seed, device, autocast)
        batches = Batches(config, sources, seed, device)
        return Started(stylegan2, batches, lambda: Siw(copy.deepcopy(stylegan2.ema), stylegan2.device))
    references = None
    if baseline.method == "sean":
        references = reference_photos(sources, baseline, seed, device)
    paired = PairedTraining(baseline, seed, device, references)
    # One batch of maps, which isn't painted; pictures of one size.
    config = replace(baseline.ours, share_fakes=True, growth=(), consistency_every=0, **own)
    return Started(paired, Batches(config, sources, seed, device), paired.painter)


def train_baseline(
    baseline: Baseline,
    sources: Sources,
    grid_labels: np.ndarray,
    seed: int,
    device: torch.device | str,
    session: Session = UNWATCHED,
    exam: Exam | None = None,
) -> tuple[Painter, list[dict[str, float]]]:
    """Train a method to as many photos as ours, resuming where an equal training was stopped.

    Args:
        sources: as `start` has them.
        grid_labels: (rows, S, S) uint8 maps of the sample grid.
        session: its listener gets the count of images, and every `report_every_kimg` scalars and "samples/grid".
        exam: by which it is scored on the way, as `train_siw.scores` has it.

    Returns:
        What paints: `Siw` for StyleGAN2; and a row of scalars for each report.

    Raises:
        TrainingDiverged: a loss or a weight is not finite.
        InputError: photos have no maps of their own.
    """
    ours, started = baseline.ours, start(baseline, sources, seed, device)

    def look() -> dict[str, np.ndarray]:
        return {"samples/grid": sample_grid(started.painter(), grid_labels, ours.sample_grid[1], seed)}

    examine = None
    if exam is not None:
        examine = Examiner(RunningScores(exam, ours.scores.images, device), started.painter)
    rows = run(started.training, started.batches, ours, session, look, examine)
    return started.painter(), rows


def reference_photos(
    sources: Sources, baseline: Baseline, seed: int, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Photos (N, 3, R, R) that are trained on, drawn by the seed, and their maps (N, 17, L, L)."""
    rng, generator = numpy_generator(seed, "baselines", "references"), baseline.ours.generator
    count = baseline.sizes.reference_photos
    chosen = np.sort(rng.choice(len(sources.photos), count, replace=count > len(sources.photos)))
    photos = resize(to_network_range(sources.photos.fetch(chosen), device), generator.resolution)
    maps = maps_to_paint(sources.photo_labels.fetch(chosen), generator.label_size, torch.device(device))
    return photos, one_hot(maps)


@contextmanager
def _all_threads() -> Iterator[None]:
    """Let operations take all threads of `runtime.use_cpu`, as there are no pieces to take them."""
    before = torch.get_num_threads()
    torch.set_num_threads(runtime.threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _mean(verdicts: list[Tensor]) -> Tensor:
    return torch.stack([verdict.detach().mean() for verdict in verdicts]).mean()


def _learn(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
