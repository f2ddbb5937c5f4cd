"""Compiled functions where nothing can be kept."""

import subprocess
import sys

MODULE = '''
from sofgan.compiled import compiled

@compiled
def twice(x):
    """Two of it."""
    return 2 * x

print(twice(4), twice.stats.cache_path)
'''


def test_they_run_where_no_cache_can_be_written():
    """A function of no file has no folder for its cache, as one of a package that nobody may write to."""
    ran = subprocess.run([sys.executable, "-"], input=MODULE, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "8 None\n"), ran.stderr


def test_what_is_compiled_is_kept_where_it_can_be(tmp_path):
    (tmp_path / "module.py").write_text(MODULE)
    words = f"import sys; sys.path.append({str(tmp_path)!r}); import module"
    ran = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert list((tmp_path / "__pycache__").glob("module.twice*.nbi"))
