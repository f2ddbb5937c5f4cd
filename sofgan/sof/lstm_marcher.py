"""The paper's ray marcher: an LSTM that walks along each ray (SRN's)."""

import torch
from torch import Tensor, nn

from sofgan import distributed
from sofgan.sof.config import MarcherConfig
from sofgan.sof.field import Field, Representation
from sofgan.sof.rays import Projection, Rays, ball_interval

HIDDEN_GRADIENT_LIMIT = 10.0
SRN_START_MEAN, SRN_START_STD = 0.05, 5e-4
SPHERE_START_STD = 0.01


class LstmMarcher(nn.Module):
    """Steps of signed length along the unit ray, chosen by an LSTM from the field's features.

    After `steps` steps the field is read once more, where the ray ended, and classified there.
    """

    def __init__(self, config: MarcherConfig, feature_size: int):
        super().__init__()
        self.config = config
        self.lstm = nn.LSTMCell(feature_size, config.hidden)
        self.step_length = nn.Linear(config.hidden, 1)
        nn.init.kaiming_normal_(self.lstm.weight_ih, nonlinearity="relu")
        nn.init.orthogonal_(self.lstm.weight_hh)
        forget = slice(config.hidden, 2 * config.hidden)
        for bias in (self.lstm.bias_ih, self.lstm.bias_hh):
            nn.init.zeros_(bias)
            with torch.no_grad():
                bias[forget] = 1.0

    def start(self, rays: Rays, generator: torch.Generator | None) -> Tensor:
        """Camera depths (B, N) where the walk begins; drawn anew for each ray where a generator is given."""
        if self.config.start == "srn":
            middle, spread = torch.full(rays.origins.shape[:2], SRN_START_MEAN), SRN_START_STD
            middle = middle.to(rays.origins)
        else:
            middle, spread = ball_interval(rays)[0], SPHERE_START_STD
        if generator is None:
            return middle
        noise = distributed.randn(middle.shape, generator=generator, device=middle.device, dtype=middle.dtype)
        return middle + spread * noise

    def forward(
        self,
        field: Field,
        representation: Representation,
        rays: Rays,
        generator: torch.Generator | None = None,
        depth_hint: Tensor | None = None,  # noqa: ARG002  (the volume marcher's; this one knows no depth)
    ) -> Projection:
        """Project rays (B, N)."""
        batch, count = rays.origins.shape[:2]
        length = rays.directions.norm(dim=-1)  # depth per unit length is 1 / this
        depth = self.start(rays, generator)
        state = None
        for _ in range(self.config.steps):
            features = field.features(representation, rays.at(depth)).flatten(0, 1)
            state = self.lstm(features, state)
            if state[0].requires_grad:
                state[0].register_hook(lambda g: g.clamp(-HIDDEN_GRADIENT_LIMIT, HIDDEN_GRADIENT_LIMIT))
            depth = depth + self.step_length(state[0]).reshape(batch, count) / length
        logits = field.logits(representation, rays.at(depth)).float()
        logs = logits.log_softmax(-1)
        return Projection(logs, depth.float(), 1 - logs[..., 0].exp())
