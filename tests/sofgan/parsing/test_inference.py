import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sofgan.files import sha256_file
from sofgan.parallel import DeviceProcesses
from sofgan.parsing import parse_store as parsing
from sofgan.parsing.config import ParseFaces, ParserConfig
from sofgan.parsing.fast import fused_convolutions
from sofgan.parsing.fast.fused_convolutions import FusedConv, UpsampledConv
from sofgan.parsing.fast.inference import argmax_enlarged, prepare_for_inference
from sofgan.parsing.fast.rewriting import fuse
from sofgan.parsing.parse_store import ParserFile, parse_store
from sofgan.parsing.parser import FaceParser, save_parser
from sofgan.photos.decoding import decode_labels
from sofgan.photos.store import PhotoStore, PhotoStoreWriter
from sofgan.pieces import Pieces
from sofgan.progress import SILENT, Progress

CONFIGS = {
    "unet": ParserConfig("unet", 64, 8),
    "lite_unet": ParserConfig("lite_unet", 64, 16),
    "bisenet": ParserConfig("bisenet", 64, order="bisenet"),
    "parsenet": ParserConfig("parsenet", 32, order="parsenet"),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """So small networks gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _images(count=2, size=64):
    """Smooth photos: what a network says of noise is full of near-ties."""
    coarse = torch.rand(count, 3, 5, 5, generator=_generator()) * 2 - 1
    return F.interpolate(coarse, (size, size), mode="bicubic").clamp(-1, 1)


def _parser(config):
    """A parser that has batch norms which do something."""
    torch.manual_seed(0)
    parser = FaceParser(config).eval().requires_grad_(False)
    for module in parser.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=_generator(1))
            module.running_var.mul_(
                torch.empty_like(module.running_var).uniform_(0.7, 1.4, generator=_generator(2))
            )
            module.weight.mul_(torch.empty_like(module.weight).uniform_(0.7, 1.4, generator=_generator(3)))
            module.bias.add_(torch.empty_like(module.bias).normal_(0, 0.1, generator=_generator(4)))
    if config.arch == "parsenet":  # Untrained, it calls all of a photo the same class.
        with torch.inference_mode():
            parser.network.net.out_mask_conv.conv2d.bias -= parser(_images())[0].mean((0, 2, 3))
    return parser


@pytest.fixture(scope="module", params=CONFIGS)
def pair(request):
    parser = _parser(CONFIGS[request.param])
    return parser, prepare_for_inference(parser)


def _assert_same_classes(ids, logits):
    """Of each pixel the class with the highest score, or one within rounding of it."""
    given = logits.gather(1, ids.long()[:, None])[:, 0]
    assert ids.dtype == torch.uint8 and ids.shape == given.shape
    assert (logits.amax(1) - given).max() <= 1e-4 * logits.std()
    assert (ids != logits.argmax(1)).float().mean() < 1e-3


@torch.inference_mode()
@pytest.mark.parametrize("size", [64, 32, 100, 37, 129])
def test_scores_and_classes_are_the_plain_parsers(pair, size):
    parser, ready = pair
    plain, fast = parser.logits(_images(), size), ready.logits(_images(), size)
    torch.testing.assert_close(fast, plain, rtol=0, atol=2e-5 * float(plain.std()) + 2e-6)
    ids = ready.class_ids(_images(), size)
    _assert_same_classes(ids, plain)
    assert len(ids.unique()) > 2
    labels = ready.parse(_images(), size)
    assert (labels == ready.to_labels(ids.numpy())).all()
    assert (labels != parser.parse(_images(), size)).mean() < 0.02  # A nose's middle may move by a pixel.


@torch.inference_mode()
@pytest.mark.parametrize(
    "options", [{"mirror": True}, {"scales": (1.0, 1.5)}, {"mirror": True, "scales": (0.5,)}]
)
def test_averages_over_mirror_and_scales_are_the_plain_parsers(pair, options):
    parser, ready = pair
    _assert_same_classes(ready.class_ids(_images(), 48, **options), parser.logits(_images(), 48, **options))


@torch.inference_mode()
def test_without_onednn_the_answers_are_the_same(pair, monkeypatch):
    """The path of a GPU, as far as a CPU can take it."""
    parser, ready = pair
    with_onednn = ready.logits(_images(), 64)
    monkeypatch.setattr(fused_convolutions, "_HAS_ONEDNN", False)
    without = ready.logits(_images(), 64)
    torch.testing.assert_close(without, with_onednn, rtol=0, atol=2e-5 * float(without.std()) + 2e-6)


@torch.inference_mode()
def test_bfloat16_is_near_and_finite(pair):
    parser, ready = pair
    plain = parser.logits(_images(), 64)
    with torch.autocast("cpu", torch.bfloat16):
        fast = ready.logits(_images(), 64)
        ids = ready.class_ids(_images(), 64)
    assert fast.dtype == torch.float32 and fast.isfinite().all()
    assert (fast - plain).std() < 0.3 * plain.std()
    assert (ids == fast.argmax(1)).float().mean() > 0.99


def test_the_parser_itself_stays_as_it_was():
    parser = _parser(CONFIGS["bisenet"])
    before = {name: value.clone() for name, value in parser.state_dict().items()}
    prepare_for_inference(parser)
    assert all(torch.equal(value, before[name]) for name, value in parser.state_dict().items())
    assert len(parser.network.train()(torch.rand(2, 3, 64, 64))) == 3
    with pytest.raises(ValueError, match="evaluation mode"):
        prepare_for_inference(parser.train())


@torch.inference_mode()
@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("shape", [(2, 5, 8, 8), (1, 19, 7, 12), (3, 2, 1, 5)])
def test_argmax_at_borders_only_is_that_of_all_pixels(shape, align_corners):
    scores = torch.randn(shape, generator=_generator())
    for size in (3, 8, 12, 13, 29, 64):
        whole = F.interpolate(scores, (size, size), mode="bilinear", align_corners=align_corners)
        for layout in (torch.contiguous_format, torch.channels_last):
            ids = argmax_enlarged(scores.contiguous(memory_format=layout), size, align_corners)
            _assert_same_classes(ids, whole)


@torch.inference_mode()
def test_argmax_takes_the_first_of_equal_scores():
    scores = torch.zeros(1, 4, 6, 6)
    assert (argmax_enlarged(scores, 20, False) == 0).all()
    scores[:, 2:, :, 3:] = 1
    whole = F.interpolate(scores, (20, 20), mode="bilinear", align_corners=False)
    assert (argmax_enlarged(scores, 20, False) == whole.argmax(1)).all()


def _conv(inputs, outputs, kernel=3, groups=1):
    weight = torch.randn(
        outputs, inputs // groups, kernel, kernel, generator=_generator(), dtype=torch.float64
    )
    bias = torch.randn(outputs, generator=_generator(1), dtype=torch.float64)
    return weight / (kernel * inputs / groups) ** 0.5, bias


def _map(*shape):
    return torch.randn(shape, generator=_generator(2)).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
@pytest.mark.parametrize("activation", [None, nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(0.2)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 0, 1)])
@pytest.mark.parametrize("channels, height, width", [(128, 6, 5), (128, 7, 4), (128, 4, 3), (8, 6, 6)])
def test_fused_convolutions_are_plain_ones(channels, height, width, padding, activation):
    weight, bias = _conv(channels, channels)
    conv = FusedConv(weight, bias, padding=padding, activation=activation)
    x = _map(2, channels, height, width)
    plain = F.conv2d(F.pad(x.double(), padding), weight, bias)
    for other in (None, _map(*plain.shape), _map(2, channels, 1, 1)):
        total = plain if other is None else plain + other.double()
        expected = total if activation is None else type(activation)(**_numbers(activation))(total)
        torch.testing.assert_close(conv(x, other).double(), expected, rtol=1e-4, atol=1e-5)


def _numbers(activation):
    return {"negative_slope": 0.2} if isinstance(activation, nn.LeakyReLU) else {}


@torch.inference_mode()
def test_winograd_is_as_exact_as_the_plain_kernel():
    weight, bias = _conv(256, 256)
    conv = FusedConv(weight, bias, padding=(1, 1, 1, 1))
    x = _map(1, 256, 16, 16).relu()
    exact = F.conv2d(x.double(), weight, bias, padding=1)
    error = (conv(x) - exact).square().mean().sqrt()
    conv.rows = None
    assert error < 1.5 * (conv(x) - exact).square().mean().sqrt() + 1e-7


@torch.inference_mode()
@pytest.mark.parametrize("channels", [6, 4])
@pytest.mark.parametrize("size", [(10, 6), (11, 6), (5, 3)])
def test_a_convolution_of_an_enlarged_map(size, channels):
    weight, bias = _conv(6, 7)
    conv = UpsampledConv(weight, bias, nn.ReLU(), channels)
    small = _map(2, channels, 5, 3)
    beside = _map(2, 6 - channels, *size) if channels < 6 else None
    large = F.interpolate(small, size, mode="nearest")
    large = large if beside is None else torch.cat([large, beside], 1)
    expected = F.conv2d(large.double(), weight, bias, padding=1).relu()
    torch.testing.assert_close(conv(small, size, beside).double(), expected, rtol=1e-4, atol=1e-5)


class _Odd(nn.Module):
    """What must not be fused: results that are used twice, a sum with itself, a norm before its convolution."""

    def __init__(self):
        super().__init__()
        self.norm, self.one, self.two = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.other = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")

    def forward(self, x):
        x = self.one(self.norm(x))
        y = self.two(x)
        return F.relu(x) + self.other(y + y) + F.relu(self.two(F.relu(x)) + 1.0)


@torch.inference_mode()
def test_what_is_seen_elsewhere_is_not_fused_away():
    torch.manual_seed(0)
    network = _Odd().eval()
    network.norm.running_var.fill_(2.0)
    x = torch.rand(1, 3, 9, 9, generator=_generator())
    torch.testing.assert_close(fuse(network)(x), network(x))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    import io

    from PIL import Image

    path = tmp_path_factory.mktemp("faces") / "photos"
    with PhotoStoreWriter(path) as writer:
        for i, image in enumerate(_images(11, 80)):
            pixels = ((image + 1) * 127.5).byte().permute(1, 2, 0).numpy()
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            writer.add(f"{i}", buffer.getvalue())
    return PhotoStore(path)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(parsing, "BLOCK_PHOTOS", 6)


def _parse(photos, parser, path, workers=1, mapper=None, progress=SILENT, **changes):
    config = {"batch": 2, "label_size": 48, "mirror": False, "scales": (1.0,), "autocast": True}
    work = Pieces(path.parent / f"{path.name}-work", mapper, progress)
    parse_store(photos, parser, path, ParseFaces(**(config | changes)), work, workers)
    return PhotoStore(path)


def test_parsing_gives_the_same_bytes_whatever_the_threads(photos, tmp_path):
    parser, stores = _parser(CONFIGS["lite_unet"]), {}
    try:
        for count, workers in ((2, 3), (3, 1), (1, 1)):
            torch.set_num_threads(count)
            stores[count] = _parse(photos, parser, tmp_path / f"{count}", workers)
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(1)
    for store in stores.values():
        assert store.fingerprint() == stores[1].fingerprint() and store.keys() == photos.keys()
    plain = parser.parse(torch.from_numpy(photos.image(10, 64).copy()).permute(2, 0, 1)[None] / 127.5 - 1, 48)
    assert (decode_labels(stores[1][10].labels) != plain[0]).mean() < 0.02


def test_parsing_by_a_process_a_device_gives_the_same_bytes(photos, tmp_path):
    save_parser(tmp_path / "parser.pt", _parser(CONFIGS["lite_unet"]))
    file = ParserFile(tmp_path / "parser.pt", sha256_file(tmp_path / "parser.pt"))
    alone = _parse(photos, file, tmp_path / "alone")
    told = []

    class Counts(Progress):
        def items(self, done, total, unit="items", note=""):
            told.append((done, total, unit))

    with DeviceProcesses(["cpu", "cpu"]) as mapper:
        dealt = _parse(photos, file, tmp_path / "dealt", mapper=mapper, progress=Counts())
    assert dealt.fingerprint() == alone.fingerprint() and dealt.keys() == photos.keys()
    assert told == [(0, 11, "photos"), (6, 11, "photos"), (11, 11, "photos")]


def test_parsing_with_mirror_and_scales(photos, tmp_path):
    parser = _parser(CONFIGS["bisenet"])
    store = _parse(photos, parser, tmp_path / "labels", mirror=True, scales=(1.0, 1.5))
    images = np.stack([photos.image(i, 96) for i in range(2)])
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1
    plain = parser.parse(tensor, 48, mirror=True, scales=(1.0, 1.5))
    assert (np.stack([store.labels(0), store.labels(1)]) != plain).mean() < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("autocast, allowed", [(False, 0.02), (True, 0.1)])
def test_a_gpu_parses_alike(photos, tmp_path, autocast, allowed):
    parser = _parser(CONFIGS["bisenet"])
    on_cpu = _parse(photos, parser, tmp_path / "cpu")
    on_gpu = _parse(photos, parser.to("cuda"), tmp_path / "gpu", workers=2, autocast=autocast)
    assert on_gpu.keys() == on_cpu.keys()
    assert np.mean([(on_cpu.labels(i) != on_gpu.labels(i)).mean() for i in range(11)]) < allowed
