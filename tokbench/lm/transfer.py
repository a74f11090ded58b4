"""A network that begins with the weights of another one (TWIST: Hassid et al. 2023, arXiv:2305.13009)."""

import torch

from tokbench.lm.network import StageNetwork

__all__ = ["begin_with"]

_BY_SYMBOL = ("embedding.weight", "outputs.weight", "local.embedding.weight")


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
