"""Training a face parser on labelled photos, resumable to the same bytes."""

import copy
import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sofgan import distributed, runtime
from sofgan import labels as label_maps
from sofgan.images import resize, to_network_range
from sofgan.labels import colorize
from sofgan.parallel import ordered_map
from sofgan.parsing.augment import Changes, apply_changes, draw_changes
from sofgan.parsing.config import TrainParser
from sofgan.parsing.data import LabelledPhotos, Splits, class_weights, draw_plan, repeat_factors
from sofgan.parsing.parser import FaceParser
from sofgan.scores.segmentation import ConfusionMatrix
from sofgan.seeds import derive_seed, torch_generator
from sofgan.session import UNWATCHED, Session
from sofgan.shares import add_gradients, share_slices
from sofgan.training import ema_beta, update_ema, warmup_cosine

LEAST_SHARE = 4  # photos that a thread or a process takes, and whose statistics a batch norm sees
GPU_STATUS_STEPS = 50  # between lines of progress, for each of which the GPU is waited for


@dataclasses.dataclass
class TrainedParser:
    """The best averaged weights by validation photos, the step that gave them, their score on held-out ones, which
    chose nothing, and the curve: a row of `step`, `loss` and `validation_miou` a scoring."""

    parser: FaceParser
    step: int
    confusion: ConfusionMatrix
    curve: list[dict[str, float]]


def train_parser(
    photos: Splits,
    config: TrainParser,
    seed: int,
    device: torch.device | str = "cpu",
    session: Session = UNWATCHED,
    workers: int = 1,
) -> TrainedParser:
    """Train on labelled photos, keep the state that is best on validation photos, and score it on held-out ones.

    Every step draws from a stream of its own, named by the step, so that a resumed training continues
    exactly. Among several processes (`sofgan.distributed`) each takes its share of a step's photos and of those that
    are scored; the first one alone reports and saves.

    Args:
        workers: threads that read ahead.
    """
    first_process, progress = distributed.rank() == 0, session.progress
    run = ParserTraining.start(config, seed, device)
    first, state = session.resume()
    if state:
        run.load_state_dict(state)
    training = photos.training
    weights = distributed.from_first(class_weights(training, config.class_balance) if first_process else None)
    weights = torch.from_numpy(weights).to(device)
    repeats = distributed.from_first(repeat_factors(training, config.repeat_below) if first_process else None)
    progress.items(first, config.steps, "steps")
    on_gpu, mine = torch.device(device).type == "cuda", own_rows(config.batch)

    def read(planned: tuple[int, np.ndarray]) -> tuple[Tensor, Tensor, Changes]:
        """Photos, maps and their changes of a step, of this process. In a thread: the noise of many large photos takes
        as long as a GPU's step."""
        step, positions = planned
        pictures, maps = map(torch.from_numpy, training.load(positions[mine]))
        # On the stream of this step, the changes of all.
        generator = torch_generator(seed, "parser", "step", step)
        changes = draw_changes(len(positions), pictures.shape[1], config.augmentation, generator).rows(mine)
        if not on_gpu:
            return pictures, maps, changes
        return pictures.pin_memory(), maps.pin_memory(), changes.pinned()

    plan = enumerate(draw_plan(repeats, config.batch, seed, first, config.steps), first + 1)
    batches = ordered_map(read, plan, workers, ahead=2)
    for step, (pictures, maps, changes) in enumerate(batches, first + 1):
        if config.patience and run.stale >= config.patience:
            break
        images = pictures.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / 127.5 - 1
        labels = maps.to(device, non_blocking=True)
        images, labels = apply_changes(images, labels, changes.to(device))
        if step <= config.small_share * config.steps:
            images, labels = _halved(images, labels)

        # Descend.
        factor = warmup_cosine(step - 1, config.steps, max(1, config.steps // 20))
        for group in run.optimizer.param_groups:
            group["lr"] = config.learning_rate * factor
        run.optimizer.zero_grad(set_to_none=True)
        run.losses.append(run.learn(images, labels.long(), weights, config))
        torch.nn.utils.clip_grad_norm_(run.parser.parameters(), 5.0)
        run.optimizer.step()
        # The average starts short, or the first hundred steps would stay in it for long.
        halflife = min(config.ema_halflife_images, 0.1 * step * config.batch)
        update_ema(run.ema, run.parser, ema_beta(config.batch, halflife))
        if not on_gpu or step % GPU_STATUS_STEPS == 0:
            progress.items(step, config.steps, "steps", f"loss {run.mean_loss():.3f}")

        # Score the average on validation photos and keep the best.
        if step % config.score_every_steps == 0 or step == config.steps:
            confusion, picture = score_parser(run.ema, photos.validation)
            row = run.scored(step, confusion.miou())
            scalars = {name: row[name] for name in ("loss", "validation_miou")}
            if first_process:
                progress.scalars(step, scalars)
                progress.images(step, {"samples/parser": picture})
        session.keep(step, config.checkpoint_every_steps, config.steps, run.state_dict)
    batches.close()
    if run.best is None:
        raise ValueError("the training ended without a score: steps must be at least 1")
    run.ema.load_state_dict(run.best["state"])
    return TrainedParser(run.ema, run.best["step"], score_parser(run.ema, photos.held_out)[0], run.curve)


@dataclasses.dataclass
class ParserTraining:
    """Everything that changes in a training, and therefore what a checkpoint holds."""

    parser: FaceParser
    ema: FaceParser
    optimizer: torch.optim.Optimizer
    losses: list[Tensor] = dataclasses.field(default_factory=list)  # Since the last scoring.
    best: dict | None = None
    stale: int = 0  # Scorings since the best.
    curve: list[dict[str, float]] = dataclasses.field(default_factory=list)
    # Of this process's photos of a batch, each worked off by a thread.
    shares: list[slice] = dataclasses.field(default_factory=list)
    twins: list[FaceParser] = dataclasses.field(default_factory=list)

    @classmethod
    def start(cls, config: TrainParser, seed: int, device) -> "ParserTraining":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "parser", "weights"))
            parser = FaceParser(config.parser).to(device).train()
        optimizer = torch.optim.AdamW(_parameter_groups(parser, config.weight_decay), lr=config.learning_rate)
        return cls(parser, copy.deepcopy(parser).eval().requires_grad_(False), optimizer)

    def learn(self, images: Tensor, labels: Tensor, weights: Tensor, config: TrainParser) -> Tensor:
        """Give the parameters a batch's gradients, the means over its shares.

        Args:
            images, labels: of this process.

        Returns:
            The loss of the whole batch, float64, on the device.
        """
        if not self.shares:
            self._share(config.batch)
        parameters, total = [one for one in self.parser.parameters() if one.requires_grad], 0.0

        def task(number: int) -> tuple[float, Tensor, list[Tensor | None]]:
            rows = self.shares[number]
            weight = (rows.stop - rows.start) / config.batch
            loss = parser_loss(self.twins[number](images[rows]), labels[rows], weights, config) * weight
            gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
            return weight, loss.detach().double(), gradients

        weights_of = []
        for weight, loss, gradients in runtime.map_pieces(task, range(len(self.shares)), images.device):
            add_gradients(parameters, gradients)
            total += loss
            weights_of.append(weight)
        distributed.sum_gradients(parameters)
        distributed.sum_tensors([total])
        self._join_statistics(weights_of)
        return total

    def _share(self, batch: int) -> None:
        """Twins of the parser, one a share: parameters are its own, statistics of batch norms each one's."""
        start = own_rows(batch).start
        self.shares = [slice(rows.start - start, rows.stop - start) for rows in _own_shares(batch)]
        own = {id(parameter): parameter for parameter in self.parser.parameters()}
        self.twins = [self.parser, *(copy.deepcopy(self.parser, dict(own)) for _ in self.shares[1:])]

    def _join_statistics(self, weights: list[float]) -> None:
        """Give all twins, of all processes, the mean of what their batch norms saw."""
        if len(self.twins) == 1 and distributed.world_size() == 1:
            return
        statistics = [
            [
                buffer
                for name, buffer in twin.named_buffers()
                if name.endswith(("running_mean", "running_var"))
            ]
            for twin in self.twins
        ]
        means = [
            sum(buffer * weight for buffer, weight in zip(buffers, weights)) for buffers in zip(*statistics)
        ]
        distributed.sum_tensors(means)
        for buffers in statistics:
            torch._foreach_copy_(buffers, means)

    def mean_loss(self) -> float:
        """The mean loss since the last scoring."""
        return float(np.mean([float(loss) for loss in self.losses]))

    def scored(self, step: int, miou: float) -> dict[str, float]:
        self.curve.append({"step": step, "loss": self.mean_loss(), "validation_miou": miou})
        self.losses, self.stale = [], self.stale + 1
        if self.best is None or miou > self.best["miou"]:
            self.best = {"miou": miou, "step": step, "state": copy.deepcopy(self.ema.state_dict())}
            self.stale = 0
        return self.curve[-1]

    def state_dict(self) -> dict:
        """All that a resumed training needs."""
        modules = {name: getattr(self, name).state_dict() for name in ("parser", "ema", "optimizer")}
        return modules | {name: getattr(self, name) for name in ("losses", "best", "stale", "curve")}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state of the same configuration."""
        for name, value in state.items():
            if name in ("parser", "ema", "optimizer"):
                getattr(self, name).load_state_dict(value)
            else:
                setattr(self, name, value)


def _own_shares(batch: int) -> list[slice]:
    """This process's shares of a batch, which are the same on every device: batch norms see a share's photos."""
    shares = share_slices(batch, least=LEAST_SHARE)
    return shares[distributed.share(len(shares))]


def own_rows(batch: int) -> slice:
    """This process's photos of a batch: whole shares.

    Raises:
        InputError: there are more processes than `sharers` allows.
    """
    shares = _own_shares(batch)
    return slice(shares[0].start, shares[-1].stop)


def sharers(batch: int, most: int) -> int:
    """Number of processes, at most so many, that can share a batch."""
    return min(most, len(share_slices(batch, least=LEAST_SHARE)))


def parser_loss(outputs: list[Tensor], labels: Tensor, weights: Tensor, config: TrainParser) -> Tensor:
    """Weighted cross-entropy of every head, and a Dice loss of the first.

    Args:
        outputs: logits (B, C, h, w), the answer first. It is resized to the labels; the auxiliary heads are
            judged at their own resolution against labels taken from the nearest pixels, which costs little.
        labels: (B, H, W) int64.
        weights: (C,) class weights.
    """
    answer = F.interpolate(outputs[0], labels.shape[-2:], mode="bilinear", align_corners=False)
    log_probabilities = answer.log_softmax(1)
    loss = F.nll_loss(log_probabilities, labels, weights)
    if config.dice_weight:
        loss = loss + config.dice_weight * dice_loss(log_probabilities.exp(), labels)
    for one in outputs[1:] if config.auxiliary_weight else ():
        small = label_maps.resize(labels, one.shape[-1])
        loss = loss + config.auxiliary_weight * F.cross_entropy(one, small, weights)
    return loss


def _halved(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    size = images.shape[-1] // 2
    return resize(images, size), label_maps.resize(labels, size)


def dice_loss(probabilities: Tensor, labels: Tensor) -> Tensor:
    """1 - Dice of (B, C, H, W) probabilities, averaged over the classes that the batch's labels hold."""
    truth = F.one_hot(labels, probabilities.shape[1]).movedim(-1, 1)
    overlap = torch.where(truth.bool(), probabilities, 0.0).sum((0, 2, 3))
    counts = truth.sum((0, 2, 3))
    sizes = probabilities.sum((0, 2, 3)) + counts
    present = counts > 0
    # Picked by `present`, a GPU would be waited for; and 0 by 0 of an absent class would be NaN on the way back.
    loss = torch.where(present, 1 - 2 * overlap / sizes.clamp(min=1), 0.0)
    return loss.sum() / present.sum()


def score_parser(
    parser: FaceParser, photos: LabelledPhotos, batch: int = 16, pictured: int = 6
) -> tuple[ConfusionMatrix, np.ndarray]:
    """Confusion over a labelled set at its own size, and a picture: photo, answer, truth in rows.

    Several processes share the set; the picture is of what the calling one saw.
    """
    device = parser.mean.device
    confusion, columns = ConfusionMatrix(), []
    starts = range(0, len(photos), batch)[distributed.rank() :: distributed.world_size()]

    def parse(start: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        images, truth = photos.load(range(start, min(start + batch, len(photos))))
        return images, parser.parse(to_network_range(images).to(device)), truth

    for images, labels, truth in runtime.map_pieces(parse, starts, device):
        confusion.update(labels, truth)
        for i in range(min(len(images), pictured - len(columns))):
            columns.append(np.concatenate([images[i], colorize(labels[i]), colorize(truth[i])], 0))
    counts = torch.from_numpy(confusion.counts).to(device)
    distributed.sum_tensors([counts])
    confusion.counts = counts.cpu().numpy()
    # A process may have no share.
    return confusion, np.concatenate(columns, 1) if columns else np.zeros((0, 0, 3), np.uint8)


def _parameter_groups(parser: FaceParser, weight_decay: float) -> list[dict]:
    parameters = [p for p in parser.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
