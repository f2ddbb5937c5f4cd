import pytest
import torch

from sofgan.runtime import use_gpu


@pytest.fixture
def restored():
    """Puts torch's choices back."""
    matmul, conv, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn
    before = matmul.fp32_precision, conv.fp32_precision, cudnn.benchmark
    matmul.fp32_precision, conv.fp32_precision, cudnn.benchmark = "tf32", "ieee", False
    yield matmul, conv, cudnn
    matmul.fp32_precision, conv.fp32_precision, cudnn.benchmark = before


def test_a_gpu_rounds_convolutions_alone_and_the_cpu_is_left(restored):
    matmul, conv, cudnn = restored
    use_gpu("cpu")
    assert (matmul.fp32_precision, conv.fp32_precision, cudnn.benchmark) == ("tf32", "ieee", False)
    use_gpu("cuda:1")
    assert (matmul.fp32_precision, conv.fp32_precision, cudnn.benchmark) == ("ieee", "tf32", True)
