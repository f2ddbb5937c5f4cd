"""What trainings of painters read from photo stores: photos with their own label maps, and maps to paint."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from sofgan.labels import resize
from sofgan.photos.store import HELD_OUT, PhotoStore
from sofgan.seeds import numpy_generator
from sofgan.siw.config import TrainSiw
from sofgan.siw.data import ArraySource, LazySource, open_source, shares_of
from sofgan.siw.running_scores import Exam

Source = ArraySource | LazySource
MEASURED = 64  # photos whose size is looked at
FEWEST_SCORED = 2  # pictures of a set, as a Frechet distance needs


def open_photos(
    sets: Mapping[str, tuple[PhotoStore, PhotoStore]], config: TrainSiw, workers: int
) -> tuple[Source, Source, np.ndarray | None]:
    """Photos of all sets that are trained on, their own label maps in the same order, and how likely each is drawn.

    Args:
        sets: by name the photos, and a store with their maps.
        workers: threads that read.

    Raises:
        InputError: there are no photos, or none in a folder that has a share of its own.
    """
    places = [
        (name, i)
        for name, (store, _) in sets.items()
        for i in np.flatnonzero(store.splits() != HELD_OUT).tolist()
    ]
    # Sets differ in size, and so do folders of one: the largest counts, as far as twice the picture.
    spread = np.unique(np.linspace(0, len(places) - 1, MEASURED).astype(int)) if places else []
    native = max(
        (min(sets[name][0].image(i).shape[:2]) for name, i in (places[at] for at in spread)), default=0
    )
    size = min(2 * config.generator.resolution, max(native, config.generator.resolution))

    def read(index: int) -> np.ndarray:
        name, place = places[index]
        return sets[name][0].image(place, size)

    def read_labels(index: int) -> np.ndarray:
        name, place = places[index]
        return sets[name][1].labels(place, config.map_size)

    photos, labels = (
        open_source(len(places), reader, workers, config.memory_limit_gb) for reader in (read, read_labels)
    )
    keys = {name: store.keys() for name, (store, _) in sets.items()} if config.photo_proportions else {}
    folders = (
        [keys[name][place].rpartition("/")[0].partition("/")[0] for name, place in places] if keys else []
    )
    return photos, labels, shares_of(folders, config.photo_proportions)


def open_maps(store: PhotoStore, config: TrainSiw, workers: int) -> Source:
    """A store's label maps that may be painted in training: none of held-out people."""
    places = np.flatnonzero(store.splits() != HELD_OUT).tolist()
    return open_source(
        len(places), lambda i: store.labels(places[i], config.map_size), workers, config.memory_limit_gb
    )


def open_exam(
    sets: Mapping[str, tuple[PhotoStore, PhotoStore]], config: TrainSiw, seed: int, workers: int
) -> Exam | None:
    """What the training is scored by on the way (`config.scores`); None: nothing, or too few photos are held out.

    Args:
        sets: by name the photos and a store with their maps: of the set that is learned from first, then of others.
        seed: of the choice among more photos than are needed, and of styles.
        workers: threads that read.
    """
    (own, (photos, _)), *_ = sets.items()
    held = {name: np.flatnonzero(store.splits() == HELD_OUT) for name, (store, _) in sets.items()}
    trained_on = np.flatnonzero(photos.splits() != HELD_OUT)
    if not config.scores.every_kimg or min(len(held[own]), len(trained_on)) < FEWEST_SCORED:
        return None

    def source(places: np.ndarray, read: Callable[[int], np.ndarray], name: str) -> LazySource:
        chosen = numpy_generator(seed, "train_siw", "exam", name).permutation(places)[: config.scores.images]
        return LazySource(len(chosen), lambda i: read(int(chosen[i])), workers)

    generator = config.generator
    images, size = partial(photos.image, size=generator.resolution), generator.label_size
    maps = {
        name: source(held[name], partial(store.labels, size=size), name)
        for name, (_, store) in sets.items()
        if len(held[name]) >= FEWEST_SCORED
    }
    return Exam(source(trained_on, images, f"{own} trained on"), source(held[own], images, own), maps, seed)


def grid_maps(sources: Sequence, config: TrainSiw) -> np.ndarray:
    """Maps (rows, S, S) of the sample grid: of each source in turn, from the first again where it has too few."""
    rows = []
    for index in range(config.sample_grid[0]):
        source = sources[index % len(sources)]
        row = source.fetch(np.array([index // len(sources) % len(source)]))
        rows.append(resize(row, config.map_size)[0])
    return np.stack(rows)
