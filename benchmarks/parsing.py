"""Photos parsed a second: `parse_store` against facexlib's own loop over the same photos, and equal labels.

Both start at JPEGs and end at label maps of the 17 classes as PNGs on disk, by facexlib's BiSeNet at 512 pixels
on the CPU. The loop takes a photo at a time as facexlib's restoration helper runs its parser, with the threads
that torch takes; it cuts and resizes photos as the store does, since others' pixels have other labels. The two
take turns in one process, and the ratio is the median over the rounds. Run from the project's root:

    python -m benchmarks.parsing [--check] [--photos FOLDER] [--weights parsing_bisenet.pth]

Without `--photos`, faces are drawn; without `--weights`, the network is trained on drawn faces for a minute,
once (it is kept in .work/benchmarks): maps of a network that has learnt nothing are noise. Limits: ours is 1.5 times
as fast; no pixel differs that the loop's network was sure of (its two best scores more than 1e-4 apart), and at most
one in a million differ at all: sums in another order give scores that differ by a millionth.

On a machine that does other work the loop's threads wait for one another and the ratio flatters. `--one-thread`
then gives a lower bound: CPU seconds of one thread a side, as if the loop gained all there is from the others.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from facexlib.parsing.bisenet import BiSeNet
from facexlib.utils.misc import img2tensor
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.transforms.functional import normalize

from benchmarks import harness
from sofgan.errors import InputError
from sofgan.labels import BISENET_NAMES, BISENET_TO_17, split_nose
from sofgan.parsing.config import ParseFaces, ParserConfig
from sofgan.parsing.networks import BiSeNetParser
from sofgan.parsing.parse_store import parse_store
from sofgan.parsing.parser import FaceParser, load_parser, pretrained_parser, save_parser
from sofgan.photos.decoding import decode_labels, decode_square, encode_labels
from sofgan.photos.store import PhotoStore, PhotoStoreWriter
from sofgan.pieces import Pieces
from sofgan.seeds import derive_seed, numpy_generator

LEAST_RATIO, MOST_MARGIN, MOST_DIFFERENT = 1.5, 1e-4, 1e-6
CONFIG = ParserConfig("bisenet", 512, order="bisenet")
TRAINING_STEPS, TRAINING_SIZE, TRAINING_BATCH, LEARNING_RATE = 64, 256, 4, 3e-3
TRAINED = harness.CACHE / "bisenet-of-drawn-faces-1.pt"

# Parts of a drawn face, the farthest first: name, or names of a pair; centre and radii as shares of the side
# (x, y; of a pair those at image left); colour.
_PARTS = (
    (("hair",), 0.50, 0.42, 0.32, 0.36, (70, 45, 30)),
    (("cloth",), 0.50, 1.05, 0.46, 0.22, (60, 90, 150)),
    (("neck",), 0.50, 0.82, 0.13, 0.16, (190, 140, 115)),
    (("l_ear", "r_ear"), 0.25, 0.52, 0.05, 0.09, (205, 140, 120)),
    (("skin",), 0.50, 0.52, 0.24, 0.32, (225, 175, 150)),
    (("l_brow", "r_brow"), 0.39, 0.41, 0.085, 0.025, (80, 55, 35)),
    (("l_eye", "r_eye"), 0.39, 0.48, 0.060, 0.030, (235, 240, 250)),
    (("nose",), 0.50, 0.57, 0.050, 0.095, (235, 165, 135)),
    (("u_lip",), 0.50, 0.70, 0.100, 0.030, (200, 80, 90)),
    (("l_lip",), 0.50, 0.74, 0.095, 0.035, (180, 60, 80)),
    (("mouth",), 0.50, 0.72, 0.070, 0.014, (90, 20, 30)),
)


def draw_face(generator: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A face of ellipses: pixels (size, size, 3) uint8, and classes (size, size) int64 in BiSeNet's order."""
    rows, columns = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    right, down = generator.normal(0, 0.03, 2)
    zoom, lean = generator.uniform(0.8, 1.1), generator.normal(0, 0.12)
    y = (rows - down) / zoom
    x = (columns - right) / zoom + lean * y
    waves = np.sin(3 * x + 2 * y + generator.uniform(0, 6))
    pixels = generator.uniform(30, 220, 3) + 60 * waves[..., None]
    labels = np.zeros((size, size), np.int64)
    for names, across, below, width, height, colour in _PARTS:
        for name, side in zip(names, (1, -1)):
            cx, cy = (
                side * (across - 0.5) + generator.normal(0, 0.006),
                below - 0.5 + generator.normal(0, 0.006),
            )
            rx, ry = (width, height) * generator.uniform(0.85, 1.2, 2)
            inside = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
            labels[inside] = BISENET_NAMES.index(name)
            pixels[inside] = colour + generator.normal(0, 12, 3)
    light = 1 + 0.25 * np.tanh(2 * x * generator.normal() + 2 * y * generator.normal())
    pixels = pixels * light[..., None] + generator.normal(0, 6, pixels.shape)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(size / 400))), labels


def trained_parser() -> FaceParser:
    """BiSeNet after some steps on drawn faces, the same every time on one machine."""
    if TRAINED.is_file():
        return load_parser(TRAINED)
    with torch.random.fork_rng([]):
        torch.manual_seed(derive_seed(0, "benchmark network"))
        parser = FaceParser(CONFIG)
    network = parser.network.train()
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=TRAINING_STEPS)
    for step in range(TRAINING_STEPS):
        generator = numpy_generator(0, "benchmark training", step)
        images, labels = zip(*(draw_face(generator, TRAINING_SIZE) for _ in range(TRAINING_BATCH)))
        outputs = network(torch.cat([_network_input(image) for image in images]))
        truth = torch.from_numpy(np.stack(labels))
        loss = sum(F.cross_entropy(output, truth) for output in outputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        harness.tell(f"training step {step + 1}/{TRAINING_STEPS}", end="")
    harness.tell("")
    save_parser(TRAINED, parser)
    return load_parser(TRAINED)


def _network_input(pixels: np.ndarray) -> Tensor:
    """(1, 3, H, W) of (H, W, 3) uint8, by facexlib's functions in the order in which its helper calls them."""
    tensor = img2tensor(pixels.astype("float32") / 255.0, bgr2rgb=False, float32=True)
    normalize(tensor, BiSeNetParser.mean, BiSeNetParser.std, inplace=True)
    return tensor.unsqueeze(0)


def _loop(net: BiSeNet, photos: list[Path], folder: Path) -> None:
    for path in photos:
        tensor = _network_input(decode_square(path.read_bytes(), CONFIG.size))
        with torch.no_grad():
            out = net(tensor)[0]
        ids = out.argmax(dim=1).squeeze().cpu().numpy()
        (folder / f"{path.stem}.png").write_bytes(encode_labels(split_nose(BISENET_TO_17[ids])))


def _ours(parser: FaceParser, store: PhotoStore, folder: Path) -> None:
    config = ParseFaces(batch=32, label_size=CONFIG.size, mirror=False, scales=(1.0,), autocast=False)
    parse_store(store, parser, folder / "labels", config, Pieces(folder / "work"))


def _differences(net: BiSeNet, photos: list[Path], folder: Path, ours: PhotoStore) -> tuple[int, int, float]:
    """Pixels, those that differ, and how far apart the loop's two best scores are there at most."""
    pixels, differing, margin = 0, 0, 0.0
    noses = [BISENET_TO_17[BISENET_NAMES.index("nose")] + half for half in (0, 1)]
    for index, path in enumerate(photos):
        theirs, labels = decode_labels((folder / f"{path.stem}.png").read_bytes()), ours.labels(index)
        different = theirs != labels
        pixels += different.size
        differing += int(different.sum())
        # Where a nose is divided hangs on other pixels: its halves are one class to the network.
        different &= ~(np.isin(theirs, noses) & np.isin(labels, noses))
        if different.any():
            with torch.no_grad():
                scores = net(_network_input(decode_square(path.read_bytes(), CONFIG.size)))[0]
            best = scores[0].topk(2, 0).values.numpy()
            margin = max(margin, float((best[0] - best[1])[different].max()))
    return pixels, differing, margin


def _gather(folder: Path | None, count: int, work: Path) -> tuple[list[Path], PhotoStore]:
    """The photos as files and as a store."""
    if folder is not None:
        photos = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        photos = photos[:count]
        if not photos:
            raise InputError(f"no photos in {folder}")
    else:
        photos = [work / f"{index:05d}.jpg" for index in range(count)]
        for index, path in enumerate(photos):
            image, _ = draw_face(numpy_generator(0, "benchmark photo", index), CONFIG.size)
            Image.fromarray(image).save(path, quality=92)
    with PhotoStoreWriter(work / "photos") as writer:
        for path in photos:
            writer.add(path.stem, path.read_bytes())
    return photos, PhotoStore(work / "photos")


def parser() -> argparse.ArgumentParser:
    found = harness.parser(__doc__)
    found.add_argument("--photos", type=Path, help="folder of JPG or PNG files; drawn faces without it")
    found.add_argument("--weights", type=Path, help="facexlib's parsing_bisenet.pth")
    found.add_argument("--count", type=int, default=24, help="photos")
    found.add_argument("--rounds", type=int, default=5)
    found.add_argument("--one-thread", action="store_true", help="CPU seconds of one thread a side")
    return found


def main(arguments) -> list[bool]:
    face_parser = pretrained_parser(CONFIG, arguments.weights) if arguments.weights else trained_parser()
    net = BiSeNet(num_class=19)
    net.load_state_dict(face_parser.network.net.state_dict())
    net.eval()
    clock = time.process_time if arguments.one_thread else time.perf_counter
    if arguments.one_thread:
        torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        photos, store = _gather(arguments.photos, arguments.count, work)
        maps = work / "maps"
        maps.mkdir()
        _loop(net, photos[:2], maps)  # What is set up once.
        ways = {
            "loop": lambda _: _loop(net, photos, maps),
            "ours": lambda _: _ours(face_parser, store, work),
        }
        seconds = harness.turns(ways, arguments.rounds, clock)
        pixels, differing, margin = _differences(net, photos, maps, PhotoStore(work / "labels"))
    rates = {name: len(photos) / np.median(values) for name, values in seconds.items()}
    ratio = np.median(np.divide(seconds["loop"], seconds["ours"]))
    print(f"{len(photos)} photos, {CONFIG.size} pixels, {torch.get_num_threads()} threads of OpenMP")
    print(f"facexlib's loop {rates['loop']:6.2f} photos/s")
    print(f"ours            {rates['ours']:6.2f} photos/s")
    print(f"differing pixels {differing} of {pixels}")
    return [
        harness.verdict("ours by facexlib's loop", ratio, at_least=LEAST_RATIO),
        harness.verdict("share of pixels that differ", differing / pixels, at_most=MOST_DIFFERENT),
        harness.verdict("the loop's two best scores there, apart", margin, at_most=MOST_MARGIN),
    ]


if __name__ == "__main__":
    sys.exit(harness.run(parser(), main))
