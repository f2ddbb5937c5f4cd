"""Fields: S(p; z), class scores of a point of head space for an instance's code.

A field is used in two steps, so that a code's representation is made once and kept:
`representation = field.generate(codes)`, then `field.features(representation, points)` and
`field.classify(features)`, or both at once by `field.logits`.
"""

from torch import Tensor, nn

Representation = dict[str, Tensor]  # what is generated from codes; the first axis of each is the instance


class Field(nn.Module):
    """Interface of every kind of field. `feature_size` is the width of `features`."""

    feature_size: int

    def generate(self, codes: Tensor) -> Representation:
        """codes (B, Z) to what stands for the B instances."""
        raise NotImplementedError

    def features(self, representation: Representation, points: Tensor) -> Tensor:
        """points (B, P, 3) in head space to features (B, P, F)."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """features (..., F) to class scores (..., K), before the softmax of eq. 3."""
        raise NotImplementedError

    def roughness(self, representation: Representation) -> Tensor:
        """Mean squared difference of the representation between neighbouring places; 0 where it has no places."""
        return next(iter(representation.values())).new_zeros(())

    def logits(self, representation: Representation, points: Tensor) -> Tensor:
        """points (B, P, 3) to class scores (B, P, K)."""
        return self.classify(self.features(representation, points))


def select(representation: Representation, index) -> Representation:
    """Some instances of a representation (index or slice over the first axis)."""
    return {name: value[index] for name, value in representation.items()}
