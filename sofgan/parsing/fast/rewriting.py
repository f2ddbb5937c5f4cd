"""A trained convolutional network rewritten to answer the same in less time.

Batch norm goes into the convolution before it, where it costs nothing, and what follows a convolution is done
by it (`sofgan.parsing.fast.fused_convolutions`).
"""

import operator

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from sofgan.parsing.fast.fused_convolutions import FusedConv, UpsampledConv

_RELUS = (F.relu, torch.relu)
_SUMS = (operator.add, torch.add)


class _Tracer(fx.Tracer):
    """Keeps every kind of convolution whole, those with a padding module of their own too."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, nn.Conv2d) or super().is_leaf_module(module, name)


def fuse(network: nn.Module) -> fx.GraphModule:
    """The same function as `network`, in evaluation mode and of (B, 3, H, W), with its convolutions fused.

    A convolution takes in the batch norm, the sum and the activation that follow it, where nothing else looks
    at what lies between, and a nearest-neighbour enlargement before it.

    Raises:
        ValueError: `network` is in training mode.
    """
    if any(module.training for module in network.modules()):
        raise ValueError("only a network in evaluation mode can be fused")
    graph = _Tracer().trace(network)
    graph_module = fx.GraphModule(network, graph)
    _drop_products_with_one(graph)
    modules = dict(graph_module.named_modules())
    with torch.no_grad():
        ShapeProp(graph_module).propagate(next(network.parameters()).new_zeros(1, 3, 64, 64))
    for count, node in enumerate(list(graph.nodes)):
        if not _is_module(node, modules, nn.Conv2d) or not _pads_as_known(modules[node.target]):
            continue
        last, norm, other = node, None, None
        if _is_module(_only_user(last), modules, nn.BatchNorm2d):
            last = _only_user(last)
            norm = modules[last.target]
        user = _only_user(last)
        if _calls(user, *_SUMS) and not user.kwargs:
            terms = [term for term in user.args if term is not last]
            if len(terms) == 1 and isinstance(terms[0], fx.Node):
                last, other = user, terms[0]
        activation = _activation(_only_user(last), modules)
        if activation is not None:
            last = _only_user(last)
        conv = modules[node.target]
        weight, bias = _folded(conv, norm)
        enlarged = _enlarged(node.args[0]) if other is None and _is_plain_3x3(conv) else None
        if enlarged:
            small, arguments = enlarged[0], enlarged
            fused = UpsampledConv(weight, bias, activation, small.meta["tensor_meta"].shape[1])
        else:
            arguments = (node.args[0],) if other is None else (node.args[0], other)
            shape = (conv.stride, _padding(conv), conv.dilation, conv.groups)
            fused = FusedConv(weight, bias, *shape, activation)
        graph_module.add_submodule(f"fused_{count}", fused)
        with graph.inserting_before(last):
            new = graph.call_module(f"fused_{count}", arguments)
        new.meta = last.meta
        last.replace_all_uses_with(new)
    graph.eliminate_dead_code()
    graph_module.recompile()
    graph_module.delete_all_unused_submodules()
    return graph_module.eval().requires_grad_(False)


def _only_user(node: fx.Node | None) -> fx.Node | None:
    return next(iter(node.users)) if node is not None and len(node.users) == 1 else None


def _calls(node: fx.Node | None, *functions) -> bool:
    return node is not None and node.op == "call_function" and node.target in functions


def _is_module(node: fx.Node | None, modules: dict[str, nn.Module], kind: type) -> bool:
    return node is not None and node.op == "call_module" and isinstance(modules[node.target], kind)


def _activation(node: fx.Node | None, modules: dict[str, nn.Module]) -> nn.Module | None:
    if _calls(node, *_RELUS):
        return nn.ReLU()
    for kind in (nn.ReLU6, nn.ReLU, nn.LeakyReLU):
        if _is_module(node, modules, kind):
            return modules[node.target]
    return None


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor]:
    """Weight and bias, in float64, of the convolution with the batch norm after it."""
    weight = conv.weight.detach().double()
    bias = weight.new_zeros(len(weight)) if conv.bias is None else conv.bias.detach().double()
    if norm is None:
        return weight, bias
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = norm.bias.double() + (bias - norm.running_mean.double()) * scale
    return weight * scale.view(-1, 1, 1, 1), bias


def _pads_as_known(conv: nn.Conv2d) -> bool:
    return conv.padding_mode == "zeros" and (type(conv) is nn.Conv2d or hasattr(conv, "static_padding"))


def _padding(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    rows, columns = conv.padding
    outer = getattr(conv, "static_padding", None)  # EfficientNet's "SAME" convolutions pad on their own.
    left, right, top, bottom = outer.padding if isinstance(outer, nn.ZeroPad2d) else (0, 0, 0, 0)
    return left + columns, right + columns, top + rows, bottom + rows


def _is_plain_3x3(conv: nn.Conv2d) -> bool:
    return (
        type(conv) is nn.Conv2d
        and (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
        and (conv.dilation, conv.groups) == ((1, 1), 1)
    )


def _enlarged(node: fx.Node) -> tuple | None:
    """Arguments of `UpsampledConv`, where the node is a nearest-neighbour enlargement to a given size, alone or
    first of two maps beside one another."""
    beside = ()
    if _calls(node, torch.cat) and len(node.users) == 1 and node.args[1:] == (1,) and len(node.args[0]) == 2:
        node, *beside = node.args[0]
    size = node.kwargs.get("size", node.args[1] if len(node.args) > 1 else None)
    usual = _calls(node, F.interpolate) and node.kwargs.get("mode") == "nearest" and len(node.users) == 1
    return (node.args[0], size, *beside) if usual and size is not None else None


def _drop_products_with_one(graph: fx.Graph) -> None:
    # ParseNet's way of doing nothing.
    for node in graph.nodes:
        if _calls(node, operator.mul) and node.args[1] == 1.0:
            node.replace_all_uses_with(node.args[0])
    graph.eliminate_dead_code()
