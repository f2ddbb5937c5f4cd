"""Memory and operations counted: of real tensors, and the same of tensors without contents."""

import gc

import torch

from sofgan.counting import Ledger, fake_tensors

MEGABYTE = 1 << 20


def test_memory_is_counted_until_it_is_free_and_once_for_all_views():
    with Ledger() as ledger:
        table = torch.zeros(512, 512)  # a megabyte
        view = table.view(-1)[3:]
        assert ledger.live == MEGABYTE
        sums = table + 1
        assert ledger.live == ledger.peak == 2 * MEGABYTE
        del sums
        table.add_(1)
        assert (ledger.live, ledger.peak) == (MEGABYTE, 2 * MEGABYTE)
        del table
        assert ledger.live == MEGABYTE
        del view
        gc.collect()
        assert ledger.live == 0


def test_what_was_there_before_is_not_counted_and_small_tensors_take_a_block():
    table = torch.zeros(512, 512)
    with Ledger() as ledger:
        halved = table[::2]
        assert ledger.live == 0
        one = halved.sum()
        assert one.shape == () and ledger.live == 512


def test_tables_count_as_often_as_they_are_weighed():
    with Ledger(lambda shape: 100.0 if shape[:1] == (7,) else 1.0) as ledger:
        kept = torch.zeros(7, 1024), torch.zeros(8, 1024)
        assert ledger.peak == 100 * 7 * 4096 + 8 * 4096
        assert len(kept) == 2


def work(size: int) -> tuple[float, int]:
    """A step with a double backward; its memory at the most, and operations."""
    with Ledger() as ledger:
        weight = torch.ones(size, size, requires_grad=True)
        inputs = torch.ones(4, size, requires_grad=True)
        out = (inputs @ weight).square().sum()
        (gradient,) = torch.autograd.grad(out, inputs, create_graph=True)
        gradient.square().sum().backward()
    return ledger.peak, ledger.operations


def test_tensors_without_contents_need_what_real_ones_need():
    real = work(256)
    assert real[1] >= 5 * 2 * 4 * 256 * 256  # forwards, to the inputs, and the gradients of both
    with fake_tensors():
        assert work(256) == real
        large = work(65536)
        assert bool(torch.ones(2).sum() > 1) is False and torch.ones(()).item() == 1.0
    assert large[1] == real[1] * 256**2 and large[0] > 65536**2 * 4  # 17 GB, which are nowhere
