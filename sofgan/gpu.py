"""How torch uses a GPU of a process that trains: the only place where this is chosen."""

import torch


def use_gpu(device: torch.device | str) -> None:
    """Choose precision and algorithms of float32 on CUDA; elsewhere nothing.

    Convolutions may round what they multiply to 10 bits (TF32) and add in float32: those that are in float32 at all are
    the regularisers', on twice differentiated networks, and would else miss a GPU's tensor cores. Matrix products don't
    round: styles, demodulation and the critics' heads go through them, which are in float32 so that they are exact.

    cuDNN tries its algorithms on each new shape and keeps the fastest; pictures have the same few shapes all along. It
    may keep another one the next time. A training on CUDA is repeated but for rounding only, whatever is chosen here:
    gradients of interpolation are added up there in any order.
    """
    if torch.device(device).type != "cuda":
        return
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "tf32"
    torch.backends.cudnn.benchmark = True
