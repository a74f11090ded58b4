"""A network that begins with the weights of another one (TWIST: Hassid et al. 2023, arXiv:2305.13009)."""

import torch

from tokbench.lm.network import StageNetwork

__all__ = ["begin_with", "other_network"]

_BY_SYMBOL = ("embedding.weight", "outputs.weight", "local.embedding.weight")


def other_network(network: StageNetwork, other: StageNetwork) -> str:
    """Return in what the Transformer of ``network`` is another one than that of ``other``; empty if in nothing.

    What learnt prompts stand in front of makes no difference.
    """
    own, theirs = (
        {name: tuple(each.shape) for name, each in some.transformer.state_dict().items() if "prompts" not in name}
        for some in (network, other)
    )
    for name in sorted(own.keys() | theirs.keys()):
        if own.get(name) != theirs.get(name):
            here, there = (each.get(name, "nothing") for each in (own, theirs))
            return f"transformer.{name} is {here} here, and {there} there"
    return ""


@torch.no_grad()
def begin_with(network: StageNetwork, other: StageNetwork) -> list[str]:
    """Give ``network`` the weights of ``other`` that have the same name and shape, and return their names.

    The vectors of symbols are those of the same symbol, if both know it: a code of a stream of the same name, or
    what begins a part; what begins a part that ``other`` does not have is taken from any that it has.
    """
    own, theirs = network.state_dict(), other.state_dict()
    taken = []
    for name, tensor in theirs.items():
        if name in own and name not in _BY_SYMBOL and own[name].shape == tensor.shape:
            own[name].copy_(tensor)
            taken.append(name)
    pairs = network.writing.vocabulary.shared(other.writing.vocabulary)
    if pairs:
        mine, others = torch.tensor(pairs).T
        for name in _BY_SYMBOL:
            if name in own and name in theirs and own[name].shape[1] == theirs[name].shape[1]:
                own[name][mine] = theirs[name][others]
                taken.append(name)
    return taken
