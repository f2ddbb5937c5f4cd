"""The benchmarks' harness: arguments, blocks by profile, turns, limits, the exit status."""

import argparse
import dataclasses
import math

import pytest

from benchmarks import harness
from sofgan.config import ConfigError
from sofgan.errors import InputError


def run(main, *argv: str, **heeds) -> int:
    return harness.run(harness.parser("A benchmark.", **heeds), main, list(argv))


@pytest.mark.parametrize(
    ("value", "limit", "kept"),
    [
        (1.5, {"at_least": 1.5}, True),
        (1.49, {"at_least": 1.5}, False),
        (5.0, {"at_most": 5.0}, True),
        (5.01, {"at_most": 5.0}, False),
        (0, {"at_most": 0}, True),
        (math.nan, {"at_least": 0.0}, False),
        (math.nan, {"at_most": 0.0}, False),
    ],
)
def test_a_verdict_tells_figure_limit_and_whether_it_is_kept(value, limit, kept, capsys):
    assert harness.verdict("ratio", value, **limit) is kept
    said = capsys.readouterr().out
    ((kind, number),) = limit.items()
    assert said.startswith(f"ratio: {value:.4g}, {kind.replace('_', ' ')} {number:g}: ")
    assert ("NOT KEPT" in said) is not kept


@pytest.mark.parametrize("limits", [{}, {"at_least": 1.0, "at_most": 2.0}])
def test_a_verdict_has_one_limit(limits):
    with pytest.raises(TypeError, match="either"):
        harness.verdict("ratio", 1.0, **limits)


@pytest.mark.parametrize(
    ("verdicts", "argv", "status"),
    [
        ([True, False], ["--check"], 1),
        ([False, True], ["--check"], 1),
        ([True, True], ["--check"], 0),
        ([True, False], [], 0),
        (None, ["--check"], 0),
    ],
)
def test_the_exit_status_is_1_where_a_limit_is_not_kept_and_it_is_asked(verdicts, argv, status):
    assert run(lambda _: verdicts, *argv) == status


def test_all_verdicts_are_given_before_the_status(capsys):
    def main(_):
        yield harness.verdict("first", 1, at_least=2)
        yield harness.verdict("second", 1, at_most=2)

    assert run(main, "--check") == 1
    assert "second: 1, at most 2: kept" in capsys.readouterr().out


def test_an_input_that_cannot_be_used_is_a_sentence_and_status_1(capsys):
    def main(_):
        raise InputError("no photos in there")

    assert run(main) == 1
    assert capsys.readouterr().err == "no photos in there\n"


def test_a_benchmark_has_the_arguments_that_it_heeds():
    none = harness.parser("A benchmark.", check=False).parse_args([])
    assert vars(none) == {}
    all_of_them = harness.parser("A benchmark.", threads=2, device=True, seed=3, cpu_seconds=True)
    assert vars(all_of_them.parse_args([])) == {
        "threads": 2, "device": "cpu", "seed": 3, "cpu_seconds": False, "check": False
    }  # fmt: skip


def test_zero_threads_are_one_a_core_and_the_machine_is_named(monkeypatch, capsys):
    used = []
    monkeypatch.setattr("sofgan.runtime.use_cpu", used.append)
    monkeypatch.setattr(harness.params, "cores", lambda: 7)
    assert run(lambda arguments: [arguments.threads == 7], "--threads", "0", "--check", threads=1) == 0
    assert used == [7]
    assert capsys.readouterr().out == "machine: 7 cores, 7 thread(s), cpu, seconds by the clock\n"


def test_the_machine_is_named_with_its_device_and_clock(monkeypatch, capsys):
    monkeypatch.setattr(harness.params, "cores", lambda: 3)
    assert run(lambda _: None, "--device", "mps", "--cpu-seconds", device=True, cpu_seconds=True) == 0
    assert capsys.readouterr().out == "machine: 3 cores, mps, CPU seconds\n"


def test_a_device_that_is_none_is_refused(capsys):
    assert run(lambda _: None, "--device", "gpu", device=True) == 1
    assert "not 'gpu'" in capsys.readouterr().err


def test_implementations_take_turns_and_each_has_its_own_seconds(capsys):
    now, order = [0.0], []

    def work(name: str, seconds: float):
        def step(number: int) -> None:
            order.append((name, number))
            now[0] += seconds * (number + 1)

        return step

    def before(number: int) -> None:
        order.append(("before", number))
        now[0] += 1000.0

    seconds = harness.turns({"a": work("a", 1.0), "b": work("b", 10.0)}, 3, lambda: now[0], before)
    assert seconds == {"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 30.0]}
    assert order == [(name, number) for number in range(3) for name in ("before", "a", "b")]
    assert capsys.readouterr().err.splitlines()[-1] == "round 3 of 3: a 3 s, b 30 s"


def test_seconds_of_computing_are_counted_where_they_are_asked_for():
    wall, computing = (
        harness.clock(argparse.Namespace(device="cpu", cpu_seconds=asked)) for asked in (False, True)
    )
    assert wall is harness.time.perf_counter
    assert computing is harness.time.process_time


def test_a_block_is_params_yamls_or_a_profiles(tmp_path, monkeypatch):
    demo, paper = harness.block("train_siw", "demo"), harness.block("train_siw", "paper")
    assert paper.generator.resolution == 1024
    assert paper.r1_every == demo.r1_every  # which the profile doesn't change
    own = harness.mapping("train_siw", "demo", {"kimg": 3.0, "generator": {"w_dim": 7}})
    assert (own["kimg"], own["generator"]["w_dim"]) == (3.0, 7)
    assert own["generator"]["z_dim"] == demo.generator.z_dim
    # Changes stay with who made them.
    assert harness.block("train_siw", "demo") == demo
    (tmp_path / "params.yaml").write_text(harness.yaml.safe_dump({"train_siw": own}))
    monkeypatch.chdir(tmp_path)
    assert harness.block("train_siw") == dataclasses.replace(
        demo, kimg=3.0, generator=dataclasses.replace(demo.generator, w_dim=7)
    )


def test_changes_of_a_block_do_not_reach_their_maker():
    one, other = {"generator": {"w_dim": 7}, "new": {"a": 1}}, {"generator": {"z_dim": 9}, "new": {"b": 2}}
    found = harness.mapping("train_siw", "demo", one, other)
    found["new"]["c"] = 3
    last = {"brand_new": {"b": 2}}
    harness.mapping("train_siw", "demo", last)["brand_new"]["c"] = 3
    assert last == {"brand_new": {"b": 2}}
    harness.mapping("train_siw", "demo")["generator"]["z_dim"] = 5
    assert harness.mapping("train_siw", "demo")["generator"]["z_dim"] != 5
    assert one == {"generator": {"w_dim": 7}, "new": {"a": 1}}
    assert other == {"generator": {"z_dim": 9}, "new": {"b": 2}}


def test_a_change_can_take_a_key_out():
    gone = {"map_proportions": {"parsed": 1.0, "celebamask": harness.profiles.MISSING}}
    assert "celebamask" in harness.mapping("train_siw", "demo")["map_proportions"]
    found = harness.mapping("train_siw", "demo", gone)["map_proportions"]
    assert "celebamask" not in found
    assert found["parsed"] == 1.0


def test_a_wrong_key_is_named_with_its_profile():
    with pytest.raises(ConfigError, match="paper.yaml: train_siw: unknown key 'kimgs'"):
        harness.block("train_siw", "paper", {"kimgs": 1})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("batch=16", {"batch": 16}),
        ("generator.mixing=none", {"generator": {"mixing": "none"}}),
        ("growth=[[32, 0.5]]", {"growth": [[32, 0.5]]}),
        ("module_learning_rate=1.0e-3", {"module_learning_rate": 0.001}),
    ],
)
def test_a_change_is_a_key_and_a_value(text, found):
    assert harness.change(text) == found


def test_a_table_is_markdown():
    assert f"{harness.head('a', 'b')}\n{harness.row(1, 'x')}" == "| a | b |\n| --- | --- |\n| 1 | x |"


def test_a_file_gets_a_line_now_and_then_of_how_far_a_computation_is(capsys, monkeypatch):
    now = iter((100.0, 100.0, 101.0, 115.0, 115.0))
    monkeypatch.setattr(harness.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(harness, "_passing", harness._Passing())
    line = harness.Line("judge")
    for done in (1, 2, 3):
        line.items(done, 4, "steps")
    assert capsys.readouterr().err == "judge: 1/4 steps\njudge: 3/4 steps\n"


def test_a_line_tells_how_far_a_computation_is_in_place_of_the_last(capsys, monkeypatch):
    monkeypatch.setattr(harness.sys.stderr, "isatty", lambda: True)
    line = harness.Line("judge")
    line.items(1, 4, "steps", "loss 0.5")
    line.items(2, 4, "steps")
    line.text("not told")
    assert capsys.readouterr().err == "\rjudge: 1/4 steps loss 0.5\rjudge: 2/4 steps"


def test_figures_of_a_look_are_handed_on(capsys):
    seen = []
    looks = harness.Looks(lambda step, values: seen.append((step, values["miou"])))
    looks.items(1, 4)
    looks.scalars(2, {"miou": 0.5})
    assert seen == [(2, 0.5)]
    assert capsys.readouterr().err == ""


def test_a_profile_is_this_repository_s_wherever_a_benchmark_is_run(tmp_path, monkeypatch):
    here = harness.block("train_sof", "paper")
    harness._of_profile.cache_clear()
    monkeypatch.chdir(tmp_path)
    assert harness.block("train_sof", "paper") == here
