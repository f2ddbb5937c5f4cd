"""A trained semantic occupancy field: load it, make codes ready, render views of them."""

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from sofgan.cameras import Camera
from sofgan.config import from_mapping, to_mapping
from sofgan.runtime import use_gpu
from sofgan.sof.config import SofConfig
from sofgan.sof.field import Representation
from sofgan.sof.model import SofModel, field_instance
from sofgan.sof.occupancy import find_occupancy
from sofgan.sof.rays import as_tensors
from sofgan.sof.render import PreparedCode, RenderedView, render_view
from sofgan.sof.sampling import shape_features
from sofgan.training import load_model, save_model


@dataclass
class Sof:
    """A trained field with its named codes.

    `rounds` says for each code whether it comes from multi-view training (1) or from inverting a single
    label map (2). `space` are the arrays of the sampling space (see `sofgan.sof.sampling`). `poses` (T, 4, 4) and
    `intrinsics` (3, 3) are those of the training views: cameras from which the field was seen.
    """

    model: SofModel
    instance_names: list[str]
    rounds: list[int]
    space: dict[str, Tensor]
    poses: Tensor
    intrinsics: Tensor
    _features: tuple[list, list, Tensor] | None = dataclasses.field(
        default=None, init=False, repr=False, compare=False
    )

    @property
    def config(self) -> SofConfig:
        """The model's configuration."""
        return self.model.config

    @property
    def codes(self) -> Tensor:
        """(N, Z) codes of all instances, without gradient."""
        return self.model.codes.detach()

    @property
    def training_names(self) -> list[str]:
        """Names of the instances of round 1 that the field was trained on."""
        return [name for name, number in zip(self.instance_names, self.rounds) if number == 1]

    @property
    def training_codes(self) -> Tensor:
        """(N1, Z) codes of these instances."""
        return self.codes[torch.tensor(self.rounds, device=self.device) == 1]

    @property
    def radius(self) -> float:
        """Mean distance of the training cameras from the head's centre, head units."""
        return float(self.poses[:, :3, 3].norm(dim=-1).mean())

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.model.codes.device

    def features(self) -> Tensor:
        """(N, F) `sofgan.sof.sampling.shape_features` of all codes; kept until a parameter of the model is another."""

        parameters = list(
            self.model.parameters()
        )  # Kept too, so that no later one gets the address of one of them.
        state = [(id(parameter), parameter._version) for parameter in parameters]
        if self._features is None or self._features[0] != state:
            self._features = state, parameters, shape_features(self.generate, self.codes)
        return self._features[2]

    def generate(self, codes: Tensor) -> Representation:
        """Representations of codes (Z,) or (B, Z), without gradient, to be kept between views."""
        with torch.no_grad():
            return self.model.generate(codes.reshape(-1, codes.shape[-1]).to(self.device))

    def prepare(self, code) -> PreparedCode:
        """A code (Z,), or what `generate` returned for one, ready for many views: each is then faster."""
        representation = code if isinstance(code, dict) else self.generate(torch.as_tensor(code))
        if self.config.marcher.kind != "volume":
            return PreparedCode(representation, None)
        instance = field_instance(self.model, representation)
        return PreparedCode(representation, find_occupancy(instance, device=self.device))

    def render(
        self, code, camera: Camera, *, probabilities: bool = False, normals: bool = False
    ) -> RenderedView:
        """View of one code from one camera.

        Args:
            code: (Z,), or what `generate` or `prepare` returned for one.
            camera: of arrays or tensors, or one of each.
            probabilities, normals: whether the view has them; normals take about as long as the rest.
        """
        return self.render_views(code, camera[None], probabilities=probabilities, normals=normals)[0]

    def render_views(
        self, code, cameras: Camera, *, probabilities: bool = False, normals: bool = False
    ) -> list[RenderedView]:
        """Views of one code from each camera of a batch (V,); arguments as of `render`."""
        prepared = code if isinstance(code, PreparedCode) else self.prepare(code)
        return [
            render_view(
                self.model,
                prepared.representation,
                camera,
                probabilities=probabilities,
                normals=normals,
                occupancy=prepared.occupancy,
            )
            for camera in as_tensors(cameras, self.device)
        ]


def save_sof(path: str | Path, sof: Sof) -> None:
    """Write model, codes, names and sampling space; equal fields are equal bytes."""
    state = {f"model.{name}": value for name, value in sof.model.state_dict().items()}
    state |= {f"space.{name}": value for name, value in sof.space.items()}
    state |= {"views.poses": sof.poses, "views.intrinsics": sof.intrinsics}
    config = {
        "sof": to_mapping(sof.config),
        "instance_names": list(sof.instance_names),
        "rounds": list(sof.rounds),
    }
    save_model(path, state, config)


def load_sof(path: str | Path, device: str | torch.device = "cpu") -> Sof:
    """The field that `save_sof` wrote, ready to render.

    Raises:
        FileNotFoundError: the file is not there.
        ConfigError: it is of another kind.
    """
    state, config = load_model(path, device)
    model = SofModel(from_mapping(SofConfig, config.get("sof", {}), str(path)), len(config["instance_names"]))
    model.load_state_dict({k.removeprefix("model."): v for k, v in state.items() if k.startswith("model.")})
    space = {k.removeprefix("space."): v for k, v in state.items() if k.startswith("space.")}
    model = model.to(device).eval().requires_grad_(False)
    poses, intrinsics = state["views.poses"], state["views.intrinsics"]
    return Sof(model, config["instance_names"], config["rounds"], space, poses, intrinsics)


@dataclass(frozen=True)
class SofFile:
    """A field by its file, which may be sent to other processes and is loaded once in each.

    Attributes:
        path: as `sofgan.sof.sof.save_sof` writes it.
        sha256: digest of the file, by which a process that lives long sees that it is another one.
        device: torch's name of where the field computes.
    """

    path: Path
    sha256: str
    device: str = "cpu"

    def load(self) -> Sof:
        """The field on its device."""
        return _loaded(self)


@lru_cache(1)
def _loaded(file: SofFile) -> Sof:
    use_gpu(file.device, exact=True)
    return load_sof(file.path, file.device)
