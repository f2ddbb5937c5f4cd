import io
import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from sofgan.faces.store import HELD_OUT, TRAIN, PhotoStoreWriter
from sofgan.siw.framing import Framing
from sofgan.siw.model import load_siw
from stages import params as stage_params
from stages import train_siw

BLOCK = {
    "kimg": 0.016, "batch": 4, "learning_rate_generator": 0.002, "learning_rate_discriminator": 0.002,
    "cooldown": 0.3, "two_style_probability": 0.9, "soft_mix_probability": 0.5, "r1_gamma": 1.0, "r1_every": 2,
    "path_length_weight": 2.0, "path_length_every": 0, "photo_sets": ["ffhq", "celebamask"], "share_fakes": True,
    "mix_by": "groups", "growth": [], "accumulate": 1, "augment_kimg": 0, "augment_target": 0.6,
    "compile": False, "scale_max": 1.2, "mirror": True, "ema_halflife_kimg": 1, "ema_rampup": 0.1,
    "map_proportions": {"parsed": 0.4, "celebamask": 0.3, "sof": 0.3}, "memory_limit_gb": 1, "sof_maps": 3,
    "framing": {},
    "generator": {
        "resolution": 16, "label_size": 16, "start_size": 4, "z_dim": 8, "w_dim": 8, "mapping_layers": 2,
        "channel_base": 64, "channel_max": 8, "encoder_channels": [4, 8],
    },
    "discriminator": {"kind": "residual", "channel_base": 64, "channel_max": 8},
    "report_every_kimg": 0.008, "sample_grid": [3, 2], "autocast": False,
}  # fmt: skip


def write_store(path, count, photos, labels):
    rng = np.random.default_rng(count)
    with PhotoStoreWriter(path) as store:
        for index in range(count):
            content = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).save(content, "PNG")
            blocks = rng.integers(0, 17, (3, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            store.add(
                f"{index:05d}", content.getvalue() if photos else None, blocks if labels else None,
                split=HELD_OUT if index == 0 else TRAIN,
            )  # fmt: skip


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SOFGAN_TRACKING", "off")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    threads = torch.get_num_threads()
    stage_params._document.cache_clear()
    runtime = {"device": "cpu", "workers": 1, "threads": 1}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"seed": 0, "runtime": runtime, "train_siw": BLOCK}))
    write_store(tmp_path / "data/photos/ffhq", 6, photos=True, labels=False)
    write_store(tmp_path / "data/photos/celebamask", 5, photos=True, labels=True)
    write_store(tmp_path / "data/labels/ffhq", 6, photos=False, labels=True)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/sof_inverted.pt").write_bytes(b"a field")
    monkeypatch.setattr(train_siw, "load_sof", lambda path, device: None)
    monkeypatch.setattr(train_siw, "training_reference", lambda sof: None)
    monkeypatch.setattr(train_siw, "portrait_framing", lambda *a: Framing(20.0, 0.05))
    monkeypatch.setattr(
        train_siw, "render_sof_maps",
        lambda sof, reference, framing, config, count, size, seed, status: np.full((count, size, size), 1, np.uint8),
    )  # fmt: skip
    yield tmp_path
    stage_params._document.cache_clear()
    torch.set_num_threads(threads)


def test_stage_writes_model_samples_curves_and_metrics(project):
    train_siw.main()
    siw = load_siw("models/siw.pt")
    assert siw.framing == Framing(20.0, 0.05) and siw.resolution == 16
    assert np.asarray(Image.open("data/siw/samples.png")).shape == (48, 48, 3)
    assert np.asarray(Image.open("data/siw/restyle.png")).shape == (48, 112, 3)
    assert (project / "data/siw/sof_maps.png").exists()
    lines = (project / "plots/train_siw.csv").read_text().splitlines()
    assert lines[0].startswith("kimg,") and len(lines) == 3
    figures = json.loads((project / "metrics/all/train_siw.json").read_text())
    assert figures["kimg"] == pytest.approx(0.016) and "loss_g" in figures
    assert json.loads((project / "metrics/train_siw.json").read_text()) == {"kimg": figures["kimg"]}
    assert not (project / ".work/train_siw").exists()  # Or a later run would resume the finished one.


def test_held_out_photos_are_not_trained_on(project):
    params = stage_params.read_params("train_siw")
    assert [len(source) for source in train_siw._photos(params, 1)] == [5 + 4, 5 + 4]
    assert len(train_siw._maps(params, train_siw.MAPS["parsed"], 1)) == 5
