import numpy as np
import pytest
import torch

from sofgan.files import sha256_file
from sofgan.labels import (
    BISENET_NAMES,
    BISENET_TO_17,
    L_NOSE,
    NUM_CLASSES,
    PARSENET_NAMES,
    R_NOSE,
    split_nose,
)
from sofgan.parsing.config import ParserConfig
from sofgan.parsing.networks import build_network
from sofgan.parsing.parser import (
    MIRROR_TABLES,
    FaceParser,
    WeightsError,
    load_parser,
    pretrained_parser,
    save_parser,
)
from sofgan.training import load_model, save_model

TINY = ParserConfig("unet", 32, 4)


def _images(count=2, size=32):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def bisenet():
    torch.manual_seed(0)
    return FaceParser(ParserConfig("bisenet", 64, order="bisenet")).eval().requires_grad_(False)


@pytest.mark.parametrize("arch", ["unet", "lite_unet", "bisenet"])
def test_networks_answer_and_embed(arch):
    network = build_network(arch, NUM_CLASSES, 8)
    images = _images(2, 64)
    outputs = network.train()(images)
    assert len(outputs) > 1 and all(out.shape[:2] == (2, NUM_CLASSES) for out in outputs)
    outputs[0].sum().backward()
    assert len(network.eval()(images)) == 1
    features = network.embed(images)
    assert features.shape[0] == 2 and features.ndim == 2
    with pytest.raises(ValueError, match="bisenet"):
        build_network("resnet", 17, 8)


def test_bisenets_short_forward_equals_its_own(bisenet):
    images = bisenet._normalise(_images(1, 64))
    torch.testing.assert_close(bisenet.network(images)[0], bisenet.network.net(images)[0])


def test_19_class_answers_become_17_with_a_split_nose(bisenet):
    images = _images(1, 64)
    ids = bisenet(images)[0].argmax(1)[0].numpy().astype(np.uint8)
    assert (bisenet.parse(images)[0] == split_nose(BISENET_TO_17[ids])).all()
    labels = bisenet.parse(images, size=48)
    assert labels.shape == (1, 48, 48) and labels.dtype == np.uint8 and labels.max() < NUM_CLASSES


def test_mirror_tables_swap_left_and_right():
    for order, names in (("bisenet", BISENET_NAMES), ("parsenet", PARSENET_NAMES)):
        swapped = {"l_eye": "r_eye", "l_brow": "r_brow", "l_ear": "r_ear"}
        swapped |= {b: a for a, b in swapped.items()}
        assert [names[i] for i in MIRROR_TABLES[order]] == [swapped.get(name, name) for name in names]
    assert MIRROR_TABLES["17"][[R_NOSE, L_NOSE]].tolist() == [L_NOSE, R_NOSE]


def test_averaging_with_the_mirror_is_symmetric():
    torch.manual_seed(0)
    parser = FaceParser(TINY).eval()
    images = _images()
    with torch.no_grad():
        one = parser.logits(images, 32, mirror=True)
        other = parser.logits(images.flip(-1), 32, mirror=True)
    swap = torch.from_numpy(MIRROR_TABLES["17"].astype(int))
    torch.testing.assert_close(one, other.flip(-1)[:, swap], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one.exp().sum(1), torch.ones(2, 32, 32))
    assert parser.logits(images, 20, scales=(1.0, 2.0)).shape == (2, 17, 20, 20)


def test_a_saved_parser_parses_alike(tmp_path):
    torch.manual_seed(1)
    parser = FaceParser(TINY).eval()
    save_parser(tmp_path / "parser.pt", parser)
    save_parser(tmp_path / "again.pt", load_parser(tmp_path / "parser.pt"))
    assert sha256_file(tmp_path / "parser.pt") == sha256_file(tmp_path / "again.pt")
    loaded = load_parser(tmp_path / "parser.pt")
    assert loaded.config == TINY and (loaded.parse(_images()) == parser.parse(_images())).all()


def test_pretrained_weights_are_checked(tmp_path, bisenet):
    path, config = tmp_path / "parsing_bisenet.pth", bisenet.config
    torch.save(bisenet.network.net.state_dict(), path)
    parser = pretrained_parser(config, path, sha256_file(path))
    assert (parser.parse(_images(1, 64)) == bisenet.parse(_images(1, 64))).all()
    with pytest.raises(WeightsError, match="no parser weights"):
        pretrained_parser(config, tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="expected file"):
        pretrained_parser(config, path, "00")
    with pytest.raises(WeightsError, match="order"):
        pretrained_parser(ParserConfig("bisenet", 64), path)
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match="no weights of bisenet"):
        pretrained_parser(config, path)


@pytest.mark.parametrize("arch", ["unet", "lite_unet", "bisenet"])
def test_networks_see_values_from_0_to_1_by_their_mean_and_deviation(arch):
    parser = FaceParser(ParserConfig(arch, 32, 4))
    for value, unit in ((-1.0, 0.0), (1.0, 1.0)):
        seen = parser._normalise(torch.full((1, 3, 4, 4), value))
        for channel in range(3):
            expected = (unit - parser.network.mean[channel]) / parser.network.std[channel]
            torch.testing.assert_close(seen[0, channel], torch.full((4, 4), expected))


def test_the_mirrors_answer_is_turned_back_and_its_sides_are_swapped():
    """A parser that calls the left half of a picture the right half of a nose sees no side in the mirror's mean."""
    parser = FaceParser(TINY).eval()

    def sides(images):
        logits = torch.zeros(len(images), 17, 32, 32)
        logits[:, R_NOSE, :, :16] = 9.0
        logits[:, L_NOSE, :, 16:] = 9.0
        return [logits + images.mean(1, keepdim=True)]

    parser.forward = sides
    plain, averaged = (parser.logits(_images(), 32, mirror=mirror).softmax(1) for mirror in (False, True))
    torch.testing.assert_close(plain, averaged, rtol=1e-4, atol=1e-5)


def test_files_leave_out_weights_of_a_package(tmp_path):
    """Where batch norms alone learn, a parser's file has no convolutions of the encoder, and is the same parser."""
    torch.manual_seed(0)
    sizes, images = {}, _images(1, 64)
    for encoder in ("tuned", "norms"):
        parser = FaceParser(ParserConfig("lite_unet", 64, 8, encoder=encoder)).eval()
        with torch.no_grad():
            for weight in parser.parameters():
                if weight.requires_grad:
                    weight.mul_(1.1)
            expected = parser(images)[0]
        save_parser(path := tmp_path / f"{encoder}.pt", parser)
        sizes[encoder] = path.stat().st_size
        loaded = load_parser(path)
        assert loaded.config.encoder == encoder
        torch.testing.assert_close(loaded(images)[0], expected, rtol=0, atol=0)
    assert sizes["norms"] < 0.2 * sizes["tuned"]
    state, config = load_model(tmp_path / "norms.pt")
    for name in ("network.head.weight", "network.stem.1.running_mean"):
        save_model(tmp_path / "short.pt", {key: value for key, value in state.items() if key != name}, config)
        with pytest.raises(RuntimeError, match=name):
            load_parser(tmp_path / "short.pt")


def test_only_a_pretrained_encoder_can_stay():
    with pytest.raises(ValueError, match="encoder norms is of lite_unet"):
        ParserConfig("unet", 64, 8, encoder="norms")
