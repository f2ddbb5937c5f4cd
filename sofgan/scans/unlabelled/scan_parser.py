"""A face parser for scans' pictures, loaded when the first scan needs it and once a process."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from sofgan.runtime import resolve_device
from sofgan.scans.reading import ScanError

_BATCH = 8


class ScanParser:
    """Photos to probabilities of the 17 classes; may be sent to other processes.

    Args:
        path: weights as `sofgan.parsing.parser.save_parser` writes them.
        device: torch's name of where to parse; `auto` takes a GPU where there is one.
        of_shape: the parser of pictures of bare shapes (`sofgan.scans.unlabelled.shape_views`), where there is one.
    """

    def __init__(self, path: str | Path, device: str = "cpu", of_shape: "ScanParser | None" = None) -> None:
        self.path, self.device, self.of_shape = Path(path), device, of_shape

    @property
    def size(self) -> int:
        """Pixels at which the network sees photos."""
        return self._load().config.size

    def __call__(self, photos: np.ndarray) -> np.ndarray:
        """Probabilities (N, 17, S, S) float32 of photos (N, S, S, 3) uint8, averaged with their mirror images.

        A network of 19 classes knows one nose: it is all `R_NOSE`.
        """
        import torch

        from sofgan.images import to_network_range

        parser = self._load()
        batches = []
        with torch.inference_mode():
            for start in range(0, len(photos), _BATCH):
                images = to_network_range(photos[start : start + _BATCH]).to(parser.mean.device)
                logits = parser.logits(images, photos.shape[1], mirror=True)
                batches.append(parser.class_probabilities(logits).cpu().numpy())
        return np.concatenate(batches)

    def _load(self):
        # Parsing is not imported by who only reads labelled scans: torch takes seconds.
        if not self.path.is_file():
            raise ScanError(
                f"it lacks labels, and there is no parser at {self.path} to find some; run train_parser first"
            )
        # A process of a cluster outlives the file that it once read.
        return _parser(self.path, self.path.stat().st_mtime_ns, self.device)


@lru_cache(2)  # One of photos, one of shapes.
def _parser(path: Path, changed: int, device: str):
    import torch

    from sofgan.parsing.fast.inference import prepare_for_inference
    from sofgan.parsing.parser import load_parser
    from sofgan.runtime import use_gpu

    use_gpu(resolve_device(device), exact=True)
    # Scans are shared out to processes; and one thread gives the same bytes however many these are.
    torch.set_num_threads(1)
    return prepare_for_inference(load_parser(path, resolve_device(device)))
