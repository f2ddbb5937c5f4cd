"""What benchmarks train: their recipes and presets are valid, and are what their texts say."""

import dataclasses

from benchmarks import harness, siw, siw_choices, siw_convergence, sof


def test_the_papers_recipe_has_the_defaults_sizes_and_the_papers_choices():
    found = siw_convergence.recipes(["default", "paper"], [], "default")
    default, paper, full = found["default"], found["paper"], harness.block("train_siw", "paper")
    for block in ("generator", "discriminator"):
        for name in siw_convergence.PAPER_AT[block]:
            assert getattr(getattr(paper, block), name) == getattr(getattr(default, block), name)
    assert (paper.generator.mixing, paper.generator.spade_at) == ("output", "convolution")
    assert (paper.path_length_every, paper.r1_gamma) == (full.path_length_every, full.r1_gamma)
    assert default == dataclasses.replace(
        harness.block("train_siw"),
        map_proportions={"parsed": 0.5, "celebamask": 0.5},
        consistency_every=0,
    )
    assert paper.map_proportions == default.map_proportions


def test_a_recipe_is_the_base_with_its_changes():
    change = "pal3:batch=16,discriminator.minibatch_group=8,growth=[[32;0.5]]"
    found = siw_convergence.recipes([], [change], "paper")["pal3"]
    paper = siw_convergence.recipes(["paper"], [], "paper")["paper"]
    critics = dataclasses.replace(paper.discriminator, minibatch_group=8)
    assert found == dataclasses.replace(paper, batch=16, growth=((32, 0.5),), discriminator=critics)


def test_presets_of_the_field_are_valid_and_differ_as_they_say():
    presets = sof.presets(paper_rays=8192)
    assert set(presets) == set(sof.PRESETS)
    assert presets["default"] == harness.block("train_sof")
    full = harness.block("train_sof", "paper")
    assert presets["paper-256"] == dataclasses.replace(full, rays_per_view=1024)  # of 8 views
    assert sof.presets(paper_rays=0)["paper-256"] == full
    assert (presets["paper-64"].field.phi_hidden, presets["lstm-64"].field.phi_hidden) == (64, 64)
    assert presets["lstm-64"].marcher == dataclasses.replace(full.marcher, start="sphere")


def test_variants_of_the_generators_step_are_valid():
    default = harness.block("train_siw")
    found = siw.variants(default, compiled=True)
    assert found["default"] == default
    assert found["compiled"].compile
    assert found["naive-128"].generator.spade_hidden == 128


def test_a_choice_changes_its_key_alone():
    paper, demo = harness.block("train_siw", "paper"), harness.block("train_siw", "demo")
    for key in siw_choices.KEYS:
        found = siw_choices.changed(paper, key, demo)
        assert siw_choices.value(found, key) == siw_choices.value(demo, key) != siw_choices.value(paper, key)
        assert siw_choices.changed(found, key, paper) == paper
