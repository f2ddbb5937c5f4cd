"""Differences between recipes: of equal seeds, with intervals that say which part."""

import pytest

from benchmarks import recipe_table, siw_convergence
from sofgan.errors import InputError


def look(recipe, seed, seconds=60.0, **changes):
    values = dict.fromkeys(recipe_table.COLUMNS, 1.0) | {"leakage_hair": 0.1}
    return {"recipe": recipe, "seed": seed, "seconds": seconds, **values, **changes}


@pytest.fixture
def curves(tmp_path):
    """Writes rows as the benchmark does; the file."""

    def write(name, rows):
        siw_convergence.write_rows(tmp_path / name, rows)
        return tmp_path / name

    return write


def test_each_training_is_compared_with_the_defaults_of_its_seed(curves):
    """Seeds differ by hundreds, the recipe by ten in all of them; Student's factor of three seeds is 4.303."""
    base = [look("default", seed, fd_lite0=at, control=0.5) for seed, at in enumerate((300.0, 500.0, 400.0))]
    other = [look("blur", 2, fd_lite0=391.0, control=0.6), look("blur", 0, fd_lite0=290.0, control=0.4)]
    looks = recipe_table.read_looks(
        [curves("a.csv", base), curves("b.csv", [*other, look("blur", 1, fd_lite0=489.0, control=0.5)])]
    )
    _, _, _, blur = recipe_table.means(looks).splitlines()
    assert blur.startswith("| blur | 3 | 1.00 ± 0.00 | 390 ± 100 | 1 ± 0 |")
    _, _, row = recipe_table.differences(looks, "default", True).splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:2] == ["blur", "3"]
    # -10, -11, -9: mean -10, deviation 1, interval 4.303 / sqrt(3) = 2.48 either side.
    assert cells[2] == "-10 (-12 to -8) better"
    assert cells[5] == "+0.000 (-0.248 to +0.248)"
    worse = recipe_table.differences(looks, "blur", True).splitlines()[2]
    assert "+10 (+8 to +12) worse" in worse


def test_the_last_look_counts_and_only_seeds_that_both_have(curves):
    rows = [look("default", 0, 30.0, fd_lite0=900.0), look("default", 0, fd_lite0=300.0), look("default", 1)]
    looks = recipe_table.read_looks(
        [curves("a.csv", [*rows, look("faces", 0, fd_lite0=310.0), look("faces", 3)])]
    )
    assert looks["default"][0]["fd_lite0"] == 300.0
    rows = [recipe_table.differences(looks, "default", judged).splitlines()[2] for judged in (True, False)]
    assert rows == ["| faces | 1 | +10 | +0 | +0.000 | +0.000 |", "| faces | 1 | +0.00 | +0.00 | +0.00 |"]


def test_trainings_that_can_not_be_compared_are_refused(curves, tmp_path):
    first = curves("a.csv", [look("default", 0)])
    with pytest.raises(InputError, match="default with seed 0 is in two files"):
        recipe_table.read_looks([first, curves("b.csv", [look("default", 0)])])
    with pytest.raises(InputError, match="60 to 120 seconds"):
        recipe_table.read_looks([first, curves("c.csv", [look("longer", 0, 120.0)])])
    with pytest.raises(InputError, match="no training of default to compare with, only of longer"):
        recipe_table.differences(recipe_table.read_looks([tmp_path / "c.csv"]), "default", True)
    (tmp_path / "d.csv").write_text("kimg,fd\n1,2\n")
    with pytest.raises(InputError, match=r"d\.csv has no rows"):
        recipe_table.read_looks([tmp_path / "d.csv"])
