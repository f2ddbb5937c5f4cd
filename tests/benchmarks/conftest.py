"""Benchmarks and scripts of pictures belong to no installed package: they are found from the root."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
