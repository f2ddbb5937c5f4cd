"""The generator's convolutions as they are usually written: slower, and the same."""

import pytest
import torch

from benchmarks.siw import LibraryConv
from sofgan.siw.operators import EqualConv2d


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("halve", [False, True])
def test_the_librarys_convolution_is_ours(kernel, halve):
    torch.manual_seed(0)
    ours, x = EqualConv2d(3, 4, kernel), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        ours.bias += torch.randn(4)
        expected = ours(x, 0.7, halve=halve)
        ours.__class__ = LibraryConv
        torch.testing.assert_close(ours(x, 0.7, halve=halve), expected)
