import numpy as np
import pytest

from sofgan import files
from sofgan.seeds import derive_seed, numpy_generator, torch_generator


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    files.write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(RuntimeError), files.atomic_path(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert files.read_json(tmp_path / "a.json") == {"x": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_replaces_a_folder(tmp_path):
    for content in ("one", "two"):
        with files.atomic_path(tmp_path / "out") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["two"]
    assert len(list(tmp_path.iterdir())) == 1


def test_json_is_canonical_and_refuses_nan(tmp_path):
    files.write_json(tmp_path / "a.json", {"b": 1, "a": 2.5})
    files.write_json(tmp_path / "b.json", {"a": 2.5, "b": 1})
    assert files.sha256_file(tmp_path / "a.json") == files.sha256_file(tmp_path / "b.json")
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "c.json", {"a": float("nan")})
    assert not (tmp_path / "c.json").exists()


def test_npz_bytes_depend_on_content_only(tmp_path):
    for name in ("a", "b"):
        files.write_npz(tmp_path / f"{name}.npz", x=np.arange(5), y=np.ones((2, 2)))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_named_streams_are_stable_and_independent():
    assert derive_seed(0, "views", "scan-1") == 8227977252883387909
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")
    assert numpy_generator(1, "x").integers(1 << 40) == numpy_generator(1, "x").integers(1 << 40)
    assert torch_generator(1, "x").initial_seed() != torch_generator(2, "x").initial_seed()


def test_what_was_given_up_is_not_made_again(tmp_path):
    with files.atomic_path(tmp_path / "folder") as folder:
        folder.mkdir()
        files.write_bytes(folder / "a/b.txt", b"x")  # folders within it are made
        partial = folder
    with pytest.raises(FileNotFoundError, match="given up"):
        files.write_bytes(partial / "late.txt", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
