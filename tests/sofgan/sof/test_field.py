"""Fields and the hypernetwork: sizes of the paper's preset, plain twins, one interface."""

import pytest
import torch
import torch.nn.functional as F

from sofgan.sof.config import FieldConfig, MarcherConfig, SofConfig
from sofgan.sof.field import select
from sofgan.sof.hypernetwork import Hypernetwork
from sofgan.sof.model import build_field, new_model

TINY = {
    "triplane": FieldConfig(
        "triplane",
        code_size=8,
        channels=4,
        base_size=8,
        basis_size=4,
        basis=3,
        local_basis=2,
        local_grid=1,  # 6 of the code's 8 numbers
        warp_size=4,
        decoder_hidden=8,
        mapping_hidden=8,
    ),
    "hyper": FieldConfig("hyper", code_size=8, phi_hidden=8, hyper_hidden=8),
}


def parameters(module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_paper_preset_has_the_papers_parameter_counts():
    model = new_model(
        SofConfig(FieldConfig("hyper"), MarcherConfig("lstm")), instances=1, code_std=0.01, seed=0
    )
    hyper = model.field.hypernetwork
    assert parameters(hyper) == pytest.approx(51.5e6, rel=2e-3)
    assert [parameters(layer) / 1e6 for layer in hyper.layers] == pytest.approx(
        [0.40, 17.04, 17.04, 17.04], rel=0.02
    )
    assert parameters(model.marcher) == 17553
    # The spec counts 20 classes: 256 * 20 + 20 = 5140.
    assert parameters(model.field.head) == 256 * 17 + 17
    assert parameters(build_head(classes=20)) == 5140
    # SRN's five hidden layers: 0.337 M, its layer norms included.
    assert parameters(build_head(classes=20, head_hidden=5)) == pytest.approx(0.337e6, rel=2e-3)
    generated = model.generate(model.codes)
    assert sum(value[0].numel() for value in generated.values()) == 198_400


def build_head(classes: int, head_hidden: int = 0):
    config = FieldConfig("hyper", code_size=4, hyper_hidden=4, num_classes=classes, head_hidden=head_hidden)
    return build_field(config).head


def test_hypernetwork_initialisation_is_srns():
    torch.manual_seed(0)
    layer = Hypernetwork(64, 128, [3, 32]).layers[0].network
    assert layer[0].weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    assert layer[6].weight.std().item() == pytest.approx(0.1 * (2 / 128) ** 0.5, rel=0.05)


def test_hyper_field_equals_a_loop_over_instances_and_layers():
    torch.manual_seed(0)
    field = build_field(TINY["hyper"])
    codes, points = torch.randn(3, 8), torch.rand(3, 5, 3)
    got = field.features(field.generate(codes), points)
    for index in range(3):
        values = points[index]
        for layer in field.hypernetwork.layers:
            made = layer.network(codes[index])
            out_features, in_features = layer.shape
            weight = made[: out_features * in_features].reshape(out_features, in_features)
            values = values @ weight.T + made[out_features * in_features :]
            values = (values - values.mean(-1, keepdim=True)) / (
                values.var(-1, unbiased=False, keepdim=True) + 1e-5
            ).sqrt()
            values = values.clamp_min(0)
        assert torch.allclose(got[index], values, atol=1e-5)


def bilinear(planes: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
    """Sum of the readings of planes (3, C, S, S) at a point (3,), by hand; inside the planes' border."""
    size, total = planes.shape[-1], torch.zeros(planes.shape[1])
    for plane, (a, b) in zip(planes, [(0, 1), (2, 1), (0, 2)]):
        x, y = ((point[axis] + 1) / 2 * size - 0.5 for axis in (a, b))
        x0, y0 = int(x // 1), int(y // 1)
        for dx in (0, 1):
            for dy in (0, 1):
                share = (1 - abs(x - x0 - dx)) * (1 - abs(y - y0 - dy))
                total = total + share * plane[:, y0 + dy, x0 + dx]
    return total


def test_a_point_is_warped_focused_and_read_bilinearly():
    torch.manual_seed(0)
    field = build_field(TINY["triplane"])
    with torch.no_grad():
        field.warp_basis.normal_()
    made = field.generate(torch.randn(1, 8))
    point = torch.tensor([0.3, -0.2, 0.35])
    moved = point + bilinear(made["warp"][0], point)
    assert (moved - point).abs().max() > 1e-3
    focused = 1.6 * moved / (1 + 0.6 * moved.abs())
    expected = field.head(field.decoder(bilinear(made["planes"][0], focused)))
    got = field.logits(made, point[None, None])[0, 0]
    assert torch.allclose(got, expected, atol=1e-5)


def test_local_parts_of_a_code_act_in_their_places_alone():
    torch.manual_seed(0)
    field = build_field(
        FieldConfig(
            code_size=160, basis=2, base_size=16, basis_size=16, local_basis=2, local_grid=5, warp_size=0
        )
    )
    with torch.no_grad():
        field.mapping[0].weight.zero_()  # what is left of a code is its local part: 150 of 160 numbers
    codes = torch.zeros(2, 160)
    node = 10 + 3 * 25 + 2 * 5 + 2  # the middle node of the first plane's second set
    codes[1, node] = 1.0
    first, second = field.generate(codes)["planes"]
    changed = (first != second).any(1)
    assert not changed[1:].any()  # the other planes
    # Nodes lie at the borders and 3.75 texels apart: a node reaches as far as its neighbours.
    assert changed[0, 4:12, 4:12].all() and changed[0].sum() == 64
    # The texel at (7, 7) lies half a texel from it.
    share = (1 - 0.5 / 3.75) ** 2
    assert torch.allclose((second - first)[0, :, 7, 7], share * field.local_basis[1, 0, :, 7, 7], atol=1e-5)


def test_planes_and_warp_are_linear_in_the_code():
    torch.manual_seed(0)
    field = build_field(FieldConfig(base_size=8, basis_size=8, basis=4, warp_size=4))
    with torch.no_grad():
        field.warp_basis.normal_()
        field.local_warp_basis.normal_()
    codes = torch.randn(2, 256)
    one, two, mixed = (
        field.generate(code[None]) for code in (codes[0], codes[1], 0.3 * codes[0] + 0.7 * codes[1])
    )
    for name in ("planes", "warp"):
        assert torch.allclose(mixed[name], 0.3 * one[name] + 0.7 * two[name], atol=1e-5)


def test_a_code_too_small_for_its_local_parts_is_refused():
    with pytest.raises(ValueError, match="want 192 of the code's 192 numbers"):
        FieldConfig(code_size=192)
    assert FieldConfig(code_size=192, local_basis=0).global_size == 192


@pytest.mark.parametrize("kind", ["triplane", "hyper"])
def test_instances_do_not_mix_and_gradients_reach_every_parameter(kind):
    torch.manual_seed(0)
    field = build_field(TINY[kind])
    codes = torch.randn(3, 8, requires_grad=True)
    points = torch.rand(3, 7, 3) - 0.5
    made = field.generate(codes)
    together = field.logits(made, points)
    alone = field.logits(select(made, slice(1, 2)), points[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5)
    F.cross_entropy(together.flatten(0, 1), torch.arange(21) % 17).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in field.parameters())
    assert (codes.grad.abs().sum(1) > 0).all()


def test_a_new_model_depends_on_its_seed_alone():
    config = SofConfig(TINY["triplane"])
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = new_model(config, 2, 0.1, seed=3).state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    second = new_model(config, 2, 0.1, seed=3).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["codes"], new_model(config, 2, 0.1, seed=4).state_dict()["codes"])


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="field.kind"):
        FieldConfig("grid")
    with pytest.raises(ValueError, match="marcher.kind"):
        MarcherConfig("sdf")
    with pytest.raises(ValueError, match="marcher.start"):
        MarcherConfig("lstm", start="middle")


def test_roughness_is_zero_for_flat_planes_and_for_fields_without_places():
    field = build_field(FieldConfig(kind="triplane", channels=2, base_size=8, basis_size=4, basis=3))
    codes = torch.randn(2, 256, generator=torch.Generator().manual_seed(0))
    assert float(field.roughness(field.generate(codes)).detach()) > 0
    with torch.no_grad():
        field.base.fill_(1.0)
        field.basis.fill_(2.0)
        field.local_basis.zero_()
    assert float(field.roughness(field.generate(codes)).detach()) == 0
    hyper = build_field(FieldConfig(kind="hyper", phi_hidden=8, hyper_hidden=8))
    assert float(hyper.roughness(hyper.generate(codes)).detach()) == 0


def test_planes_start_smooth():
    coarse, fine = (
        FieldConfig(kind="triplane", base_size=32, basis_size=32, basis=4, initial_size=size)
        for size in (4, 32)
    )
    rough = []
    for config in (coarse, fine):
        torch.manual_seed(0)
        field = build_field(config)
        rough.append(float(field.roughness(field.generate(torch.ones(1, 256))).detach()))
    assert rough[0] < 0.1 * rough[1]


def test_roughness_is_the_mean_square_of_steps_along_both_axes():
    field = build_field(FieldConfig(kind="triplane", channels=2, base_size=8, basis_size=4, basis=3))
    ramp = torch.arange(8.0).expand(1, 3, 2, 8, 8)
    for planes, expected in ((ramp, 1.0), (3 * ramp.mT, 9.0), (ramp + 3 * ramp.mT, 10.0)):
        assert field.roughness({"planes": planes}).item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["triplane"])
def test_the_background_has_a_bias_of_its_own(kind):
    fields = []
    for bias in (0.0, 5.0):
        torch.manual_seed(0)
        fields.append(build_field(FieldConfig(kind=kind, background_bias=bias)).eval())
    features = torch.randn(4, fields[0].feature_size, generator=torch.Generator().manual_seed(0))
    difference = fields[1].classify(features) - fields[0].classify(features)
    assert torch.allclose(difference, torch.tensor([5.0] + [0.0] * 16).expand(4, 17), atol=1e-5)
