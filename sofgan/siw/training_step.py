"""Networks and optimisers of a training of the SIW StyleGAN, and one step of it.

A step may be worked off in parts: one after another (`accumulate`), by threads (`sofgan.runtime`), or by several
processes (`sofgan.distributed`). Draws are those of the whole batch, losses are means over its pictures, so the step is
the same.
"""

import copy
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from sofgan import distributed, runtime
from sofgan.errors import InputError
from sofgan.seeds import derive_seed, torch_generator
from sofgan.shares import add_gradients, share_slices
from sofgan.siw import losses
from sofgan.siw.config import TrainSiw
from sofgan.siw.critics.critics import Critics, Seen
from sofgan.siw.data import Batch, half
from sofgan.siw.generator import Generator, random_noise
from sofgan.siw.mixing import draw_similarity, draw_styles, one_hot, two_style_weights
from sofgan.siw.view_pairs import difference_by_spread, view_difference
from sofgan.training import ema_beta, update_ema

W_AVERAGE_RATE = 0.005  # StyleGAN2's w_avg_beta 0.995
LAST_LEARNING_RATE = 0.1  # of the full one, at the end of the cool-down
PATH_LENGTH_RATE = 0.01  # of the running mean of path lengths (StyleGAN2)
LEAST_SHARE = 8  # pictures that a thread takes, where they are enough for two: of fewer, calls cost too much
LEAST_PICTURES = 4  # of a share of a small batch

Result = TypeVar("Result")


@dataclass(frozen=True)
class Part:
    """Some pictures of a step's batch."""

    rows: slice  # which of the whole batch they are
    weight: float  # their share of it
    batch: Batch

    def learn(self, loss: Tensor, parameters: list[Tensor], scalars: dict[str, Tensor]) -> "Learned":
        """Gradients and scalars of these pictures' mean loss."""
        gradients = torch.autograd.grad(loss * self.weight, parameters, allow_unused=True)
        return Learned(gradients, scalars)

    def learn_through(
        self, loss: Tensor, seen: list[Tensor], kept: list[Tensor], parameters: list[Tensor], scalars: dict
    ) -> "Learned":
        """As `learn`, where the loss is one of `seen`, and what these were made by is known to `kept` alone.

        One backward pass through both would add up gradients in the order of torch's numbers of operations, which each
        thread counts for itself: another order where other threads made the two halves.
        """
        found = torch.autograd.grad(loss * self.weight, seen, allow_unused=True)
        reached = [(one, gradient) for one, gradient in zip(kept, found, strict=True) if gradient is not None]
        ends, gradients = zip(*reached)
        gradients = torch.autograd.grad(ends, parameters, gradients, allow_unused=True)
        return Learned(gradients, scalars)

    def add(self, learned: "Learned", parameters: list[Tensor], sums: dict[str, Tensor]) -> None:
        """Add gradients to the parameters', and put means over these pictures into those over the whole batch."""
        add_gradients(parameters, learned.gradients)
        for name, value in learned.scalars.items():
            sums[name] = sums.get(name, 0.0) + value.detach() * self.weight


@dataclass(frozen=True)
class Learned:
    """Results of a part of a batch: gradients by its share of the loss, None of what it doesn't depend on, and scalars
    that are means over its pictures."""

    gradients: tuple[Tensor | None, ...]
    scalars: dict[str, Tensor]


class SiwTraining:
    """Networks, optimisers and one training step.

    Args:
        config: the block `train_siw`.
        seed: of initial weights and of every draw; a step's draws depend on it and the step's number.
        autocast: bfloat16 in the networks, float32 in the regularisers.

    Raises:
        ValueError: so many processes can't share a step, see `TrainSiw.sharers`.

    Attributes:
        ema: the averaged generator, which is the result.
        seen: photos shown so far.
    """

    def __init__(self, config: TrainSiw, seed: int, device: torch.device | str, autocast: bool = False):
        self.config, self.seed, self.device, self.autocast = config, seed, torch.device(device), autocast
        if config.sharers(distributed.world_size()) != distributed.world_size():
            raise InputError(
                f"{distributed.world_size()} processes can't share a step of {config.batch} photos in "
                f"{config.accumulate} parts: each takes whole groups of {config.discriminator.minibatch_group}"
            )
        with torch.random.fork_rng(devices=[]):  # Layers initialise from the global generator.
            torch.manual_seed(derive_seed(seed, "siw", "init"))
            generator = Generator(config.generator)
            smaller = [size for size, _ in config.growth]
            critics = Critics(config.discriminator, config.generator.resolution, smaller)
        # What smaller pictures don't train adds nothing when it comes in.
        for size, block in zip(config.generator.sizes(), generator.blocks):
            if size > config.resolution_at(0):
                torch.nn.init.zeros_(block.to_rgb.weight)
        layout = torch.channels_last
        self.generator = generator.to(self.device, memory_format=layout)
        self.critics = critics.to(self.device, memory_format=layout)
        self.ema = copy.deepcopy(self.generator).requires_grad_(False)
        self.learned = [p for p in self.critics.parameters() if p.requires_grad]
        self.painted = list(self.generator.parameters())
        self.optimizer_g = self._adam(self.painted, config.learning_rate_generator)
        self.optimizer_d = self._adam(self.learned, config.learning_rate_discriminator)
        # Among the critics' gradients those of views would be lost, or, weighted so that they count, leave Adam's
        # steps by the critics small: they have moments of their own.
        self.optimizer_c = self._adam(self.painted, config.learning_rate_generator)
        # Regularisers differentiate twice, which compiled functions can't: they use the plain network.
        synthesize = self.generator.synthesize
        self.synthesize = torch.compile(synthesize) if config.compile else synthesize
        self.mean_path_length = torch.zeros((), device=self.device)
        self.seen = 0

    def _adam(self, parameters: list[Tensor], rate: float) -> torch.optim.Adam:
        # The lazy regularisers share the main losses' steps, so StyleGAN2's correction of rates isn't needed.
        return torch.optim.Adam(parameters, lr=rate, betas=(0.0, 0.99), eps=1e-8, fused=True)

    def step(self, step: int, batch: Batch) -> dict[str, Tensor]:
        """Update the discriminators, the generator and its average.

        Args:
            batch: this process's share of the step's pictures.

        Returns:
            Scalars of the whole step, which stay on the device.
        """
        config, sums = self.config, {}
        self._set_learning_rates()
        self.optimizer_d.zero_grad(set_to_none=True)
        self.optimizer_g.zero_grad(set_to_none=True)
        w_mean = torch.zeros_like(self.generator.w_average)
        parts = list(self._parts(batch))
        # The generator may learn from the fakes that the critics learned from: painted once where they are kept.
        keep = config.share_fakes and config.parts(distributed.world_size()) == 1
        fakes = []
        self.critics.renormalize()
        tasks = [partial(self._learn_critics, part, step, keep) for part in parts]
        for part, (learned, kept, w) in zip(parts, self._work_off(tasks)):
            part.add(learned, self.learned, sums)
            w_mean += w.detach().float().flatten(0, -2).mean(0) * part.weight
            fakes.append(kept)
        distributed.sum_gradients(self.learned)
        self.optimizer_d.step()
        self.critics.renormalize()
        tasks = [partial(self._learn_generator, part, step, kept) for part, kept in zip(parts, fakes)]
        if config.path_length_every and step % config.path_length_every == 0:
            tasks += [partial(self._learn_path_length, part, step) for part in parts]
        for part, learned in zip(itertools.cycle(parts), self._work_off(tasks)):
            part.add(learned, self.painted, sums)
        distributed.sum_gradients(self.painted)
        self.optimizer_g.step()
        if config.compares_views_at(step):
            self.optimizer_c.zero_grad(set_to_none=True)
            tasks = [partial(self._learn_consistency, part, step) for part in parts]
            for part, learned in zip(parts, self._work_off(tasks)):
                part.add(learned, self.painted, sums)
            distributed.sum_gradients(self.painted)
            self.optimizer_c.step()

        scalars = distributed.sum_scalars(sums)
        self._update_averages(scalars, distributed.sum_scalars({"w": w_mean})["w"])
        return scalars

    def _learn_critics(self, part: Part, step: int, keep: bool) -> tuple[Learned, Seen | None, Tensor]:
        """Gradients of the critics.

        Returns:
            Beside it what they saw of the fakes, if it is to be kept, and the fakes' styles.
        """
        config, batch, scalars = self.config, part.batch, {}
        with distributed.shared_draws(config.batch, part.rows):
            with torch.set_grad_enabled(keep):
                fakes, w = self._fakes(part, step, 0)
            with self._mixed():
                with torch.no_grad():
                    maps = one_hot(batch.photo_labels) if self.critics.need_maps else None
                    photos = self.critics.look(batch.photos, maps, self._draws(step, "photos"))
                real, fake = self.critics.judge_photos(photos), self.critics.judge(fakes.detach())
                loss = self.critics.discriminator_loss(real, fake, scalars)
            if self.critics.residual is not None and config.r1_every and step % config.r1_every == 0:
                scalars["r1"] = penalty = self._r1(batch.photos, step)
                loss = loss + penalty * (0.5 * config.r1_gamma * config.r1_every)
        learned = part.learn(loss, self.learned, scalars)
        return learned, fakes if keep else None, w

    def _learn_generator(self, part: Part, step: int, fakes: Seen | None) -> Learned:
        """Gradients of the generator by the critics that have just learned."""
        scalars = {}
        with distributed.shared_draws(self.config.batch, part.rows):
            if fakes is None:
                fakes, _ = self._fakes(part, step, 0 if self.config.share_fakes else 1)
            seen = fakes.detach()
            for one in seen.differentiable():
                one.requires_grad_()
            with self._mixed():
                loss = self.critics.generator_loss(self.critics.judge(seen), scalars)
        return part.learn_through(loss, seen.differentiable(), fakes.differentiable(), self.painted, scalars)

    def _learn_path_length(self, part: Part, step: int) -> Learned:
        """Gradients of the generator by the path length regularizer."""
        config = self.config
        penalty, length = self._path_length(part, step)
        penalty = penalty * (config.path_length_weight * config.path_length_every)
        return part.learn(penalty, self.painted, {"path_length": length})

    def _learn_consistency(self, part: Part, step: int) -> Learned:
        """Gradients of the generator by how far two views of a head, in one style, differ where they show the same."""
        config, pairs = self.config, part.batch.pairs
        resolution = part.batch.photos.shape[-1]
        painted = []
        with distributed.shared_draws((config.batch + 1) // 2, half(part.rows)), self._mixed():
            for labels in pairs.labels.unbind(1):
                draws = self._draws(step, "consistency")  # the same styles, regions and noise for both
                w, weights = self._styles(labels, draws)
                noise = random_noise(self.generator, len(labels), draws, resolution)
                painted.append(self.synthesize(one_hot(labels), w, weights, noise, resolution=resolution))
        scalars = {"view_difference": view_difference(*painted, pairs.warp)}
        if config.consistency_by == "difference":
            return part.learn(scalars["view_difference"], self.painted, scalars)
        # As many heads are compared as stay together, however the batch is divided; of an odd batch, which isn't, all.
        together = half(slice(0, config.inseparable)).stop
        if len(pairs.labels) % together:
            together = len(pairs.labels)
        scalars["view_by_spread"] = difference_by_spread(*painted, pairs, together)
        return part.learn(scalars["view_by_spread"], self.painted, scalars)

    def _parts(self, batch: Batch) -> Iterator[Part]:
        """This process's share of the step's batch, in pieces that are worked on at a time."""
        mine = distributed.share(self.config.batch)
        count = (mine.stop - mine.start) // self.config.parts(distributed.world_size())
        for start in range(mine.start, mine.stop, count):
            for share in self._shares(count):
                rows = slice(start + share.start, start + share.stop)
                own = slice(rows.start - mine.start, rows.stop - mine.start)
                yield Part(rows, (rows.stop - rows.start) / self.config.batch, batch.rows(own))

    def _shares(self, count: int) -> list[slice]:
        least = LEAST_SHARE if count >= 2 * LEAST_SHARE else LEAST_PICTURES
        return share_slices(count, self.config.inseparable, least, self.device)

    def _work_off(self, tasks: list[Callable[[], Result]]) -> Iterator[Result]:
        """Results of a task a part, in order; memory for one of the `accumulate` parts at a time."""
        processes = distributed.world_size()
        rows = self.config.batch // (processes * self.config.parts(processes))
        return runtime.map_pieces(lambda task: task(), tasks, self.device, len(self._shares(rows)))

    def _draws(self, step: int, purpose: str) -> torch.Generator:
        return torch_generator(self.seed, "siw", purpose, step)

    def _set_learning_rates(self) -> None:
        config, total = self.config, 1000 * self.config.kimg
        left = (total - self.seen) / max(1.0, config.cooldown * total)
        factor = LAST_LEARNING_RATE + (1 - LAST_LEARNING_RATE) * min(1.0, max(0.0, left))
        self.optimizer_g.param_groups[0]["lr"] = config.learning_rate_generator * factor
        self.optimizer_c.param_groups[0]["lr"] = (
            config.learning_rate_generator * factor * config.consistency_rate
        )
        self.optimizer_d.param_groups[0]["lr"] = config.learning_rate_discriminator * factor

    def _mixed(self):
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.autocast)

    def _styles(self, labels: Tensor, draws: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Styles w and region weights of a pass."""
        config = self.config
        kind, network = config.generator.mixing, self.generator
        z, second = draw_styles(
            len(labels), config.generator.z_dim, kind, network.layers, config.two_style_probability, draws
        )
        w = network.mapping(z.to(self.device, non_blocking=True))
        weights = None
        if kind in ("input", "output"):
            by_class = config.mix_by == "classes"
            similarity = draw_similarity(len(labels), config.soft_mix_probability, draws, by_class)
            weights = two_style_weights(labels, similarity.to(self.device, non_blocking=True))
        elif kind == "layerwise":
            second = second.to(self.device, non_blocking=True)
            w = torch.where(second[:, None, :, None], w[:, 1, None, None], w[:, 0, None, None])
        return w, weights

    def _fakes(self, part: Part, step: int, number: int) -> tuple[Seen, Tensor]:
        """Inputs of the critics for the painted maps of that round, and the styles w (B, K, ...) that painted them."""
        labels, draws = part.batch.labels[number], self._draws(step, f"fakes {number}")
        resolution = part.batch.photos.shape[-1]
        with self._mixed():
            w, weights = self._styles(labels, draws)
            noise = random_noise(self.generator, len(labels), draws, resolution)
            maps = one_hot(labels)
            fakes = self.synthesize(maps, w, weights, noise, resolution=resolution)
            return self.critics.look(fakes, maps, draws), w

    def _r1(self, photos: Tensor, step: int) -> Tensor:
        photos = photos.detach().requires_grad_()
        seen = self.critics.augment_for_residual(photos, self._draws(step, "r1"))
        return losses.r1_penalty(self.critics.residual(seen), photos)

    def _path_length(self, part: Part, step: int) -> tuple[Tensor, Tensor]:
        """The penalty of every second picture, and the mean length of their paths."""
        labels, draws = part.batch.labels[0, ::2], self._draws(step, "path length")
        resolution = part.batch.photos.shape[-1]
        with distributed.shared_draws((self.config.batch + 1) // 2, half(part.rows)):
            w, weights = self._styles(labels, draws)
            noise = random_noise(self.generator, len(labels), draws, resolution)
            layers = self.generator.layers_at(resolution)
            # Each layer gets a style of its own, equal to the others, by which its path is measured.
            w = w[:, :, :layers] if w.dim() == 4 else w[:, :, None].expand(-1, -1, layers, -1)
            images = self.generator.synthesize(one_hot(labels), w, weights, noise, resolution=resolution)
            return losses.path_length_penalty(images, w, self.mean_path_length, draws)

    def _update_averages(self, scalars: dict[str, Tensor], w_mean: Tensor) -> None:
        """The average style, path length and generator, and how often photos and fakes are augmented."""
        config = self.config
        self.generator.w_average.lerp_(w_mean, W_AVERAGE_RATE)
        if "path_length" in scalars:
            self.mean_path_length.lerp_(scalars["path_length"], PATH_LENGTH_RATE)
        if config.augment_kimg and "sign_real" in scalars:
            step = config.batch / (1000 * config.augment_kimg)
            scalars["augmented"] = self.critics.adapt(scalars["sign_real"], config.augment_target, step)
        self.seen += config.batch
        # The half-life of the average starts short.
        halflife = min(1000 * config.ema_halflife_kimg, config.ema_rampup * self.seen)
        update_ema(self.ema, self.generator, ema_beta(config.batch, halflife))

    def state_dict(self) -> dict:
        """All that a resumed training needs."""
        return {
            "generator": self.generator.state_dict(),
            "ema": self.ema.state_dict(),
            "critics": self.critics.state_dict(),
            "optimizer_g": self.optimizer_g.state_dict(),
            "optimizer_c": self.optimizer_c.state_dict(),
            "optimizer_d": self.optimizer_d.state_dict(),
            "mean_path_length": self.mean_path_length,
            "seen": self.seen,
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state of the same configuration."""
        self.generator.load_state_dict(state["generator"])
        self.ema.load_state_dict(state["ema"])
        self.critics.load_state_dict(state["critics"], strict=False)  # The frozen backbone isn't in it.
        self.optimizer_g.load_state_dict(state["optimizer_g"])
        self.optimizer_c.load_state_dict(state["optimizer_c"])
        self.optimizer_d.load_state_dict(state["optimizer_d"])
        self.mean_path_length = state["mean_path_length"].to(self.device)
        self.seen = state["seen"]
