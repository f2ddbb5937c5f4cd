"""Pictures of the shape of generated people with their label maps: what a parser of bare geometry learns from."""

from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from scipy import sparse

from sofgan import cameras, labels
from sofgan.cameras import Camera
from sofgan.parallel import Mapper, map_in_processes
from sofgan.progress import SILENT, Progress
from sofgan.rendering.process_renderer import process_renderer
from sofgan.rendering.renderer import label_map
from sofgan.scans.face_frame import FaceFrame, frame_of_labels
from sofgan.scans.mesh_ops import middles
from sofgan.scans.unlabelled.config import TrainShapeParser
from sofgan.scans.unlabelled.face_cameras import FOV_DEGREES, portrait_cameras
from sofgan.scans.unlabelled.shape_views import picture_shape
from sofgan.seeds import numpy_generator


@dataclass(frozen=True)
class Pictures:
    """Pictures (N, S, S, 3) and label maps (N, S, S), uint8, as `sofgan.parsing.train` takes photos."""

    pictures: np.ndarray
    maps: np.ndarray

    def __len__(self) -> int:
        return len(self.pictures)

    def load(self, positions) -> tuple[np.ndarray, np.ndarray]:
        """Pictures (B, S, S, 3) and maps (B, S, S)."""
        chosen = np.asarray(positions, int)
        return self.pictures[chosen], self.maps[chosen]

    def labels(self, position: int) -> np.ndarray:
        """One map (S, S)."""
        return self.maps[int(position)]


def picture_people(
    config: TrainShapeParser,
    seed: int,
    workers: int | Mapper,
    progress: Progress = SILENT,
) -> tuple[Pictures, Pictures, Pictures]:
    """Views to train on, views of other people to choose the best state by, and of others again to score on.

    Args:
        config: how many people and views.
        seed: of the run; a person's views depend on it and the person's number alone.
        workers: processes.
        progress: listener, which gets the count of people.
    """
    scored = config.people + config.held_out_people
    total = scored + config.validation_people
    task = partial(shape_views, seed=seed, views=config.views_per_person, size=config.parser.size)
    pictures, maps = [], []
    for made, labelled in map_in_processes(task, range(total), workers):
        pictures.append(made)
        maps.append(labelled)
        progress.items(len(pictures), total, "people pictured")
    return tuple(
        Pictures(np.concatenate(pictures[part]), np.concatenate(maps[part]))
        for part in (slice(config.people), slice(scored, None), slice(config.people, scored))
    )


@dataclass(frozen=True)
class Surface:
    """One mesh of all parts of a person.

    Attributes:
        vertices, faces: (V, 3), (F, 3), one vertex a place.
        face_labels: (F,) uint8.
        pictured: (F,) bool, whether a triangle is in pictures; all are in label maps.
    """

    vertices: np.ndarray
    faces: np.ndarray
    face_labels: np.ndarray
    pictured: np.ndarray

    def select(self, keep: np.ndarray) -> "Surface":
        """The triangles that `keep` (F,) marks."""
        return Surface(self.vertices, self.faces[keep], self.face_labels[keep], self.pictured[keep])


def shape_views(person: int, seed: int, views: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, S, S, 3) and label maps (N, S, S), uint8, of one person who is in no scan batch."""
    generator = numpy_generator(seed, "shape_views", person)
    avatar = _avatar_model().build(f"shape-{person:05d}", generator)
    surface = merge(avatar.parts, generator)
    frame = frame_of_labels(surface.vertices, surface.faces, surface.face_labels)
    surface = distort(surface, frame, generator)
    poses = draw_cameras(frame, views, generator)
    unit, middle = frame.portrait_side(), poses[:, :3, 3].mean(0)
    poses[:, :3, 3] = (poses[:, :3, 3] - middle) / unit
    vertices = (surface.vertices - middle) / unit
    renderer, around = process_renderer(), Camera(poses, cameras.intrinsics_from_fov(FOV_DEGREES), size)
    pictures = picture_shape(vertices, surface.faces[surface.pictured], renderer, around)
    renderer.load(vertices, surface.faces)
    maps = [label_map(renderer.render(camera), surface.face_labels) for camera in around]
    return pictures, np.stack(maps)


@cache
def _avatar_model():
    from sofgan.avatars.model import AvatarModel

    return AvatarModel.load()


def merge(parts, generator: np.random.Generator) -> Surface:
    """All parts as one mesh; some people go without hair, clothes or what they wear, many without brows that show."""
    dropped = set()
    for classes, chance in (
        ((labels.HAIR,), 0.3),
        ((labels.CLOTH,), 0.3),
        ((labels.EYEGLASS,), 0.6),
        ((labels.HAT,), 0.3),
        ((labels.EARRING, labels.NECKLACE), 0.4),
    ):
        if generator.random() < chance:
            dropped.update(classes)
    kept = [part for part in parts if not dropped.issuperset(np.unique(part.face_labels).tolist())]
    offsets = np.cumsum([0] + [len(part.vertices) for part in kept])
    vertices = np.concatenate([part.vertices for part in kept]).astype(np.float64)
    faces = np.concatenate([part.faces + offset for part, offset in zip(kept, offsets)])
    face_labels = np.concatenate([part.face_labels for part in kept])
    places, index = np.unique(vertices, axis=0, return_inverse=True)
    # Scans seldom have brows that stand out: their place is to be learnt from the face around them.
    hidden = face_labels == labels.BROW if generator.random() < 0.6 else np.zeros(len(faces), bool)
    return Surface(places, index.reshape(-1)[faces], face_labels, ~hidden)


def distort(surface: Surface, frame: FaceFrame, generator: np.random.Generator) -> Surface:
    """The surface as scanners and modellers have them: cut, coarse, smoothed, rough."""
    left, up, front = (
        (middles(surface.vertices, surface.faces) - frame.eyes) @ frame.rotation.T / frame.height
    ).T
    keep = np.ones(len(surface.faces), bool)
    if generator.random() < 0.4:  # Below a plane under the chin.
        keep &= up + generator.normal(0, 0.15) * front > -generator.uniform(2.1, 3.5)
    if generator.random() < 0.2:  # Behind a plane: masks of a face.
        keep &= front > generator.uniform(-2.5, -0.8)
    surface = surface.select(keep)
    height = frame.height
    vertices = surface.vertices
    strands = np.zeros(len(vertices), bool)
    strands[surface.faces[surface.face_labels == labels.HAIR]] = True
    skin = generator.uniform(0, 0.006) * (generator.random() < 0.5)
    hair = generator.uniform(0, 0.06) * (generator.random() < 0.6)
    depth = np.where(strands, hair, skin) * height
    vertices = vertices + depth[:, None] * _roughness(vertices / height, generator)
    if generator.random() < 0.5:
        vertices = smoothed(vertices, surface.faces, int(generator.integers(1, 9)))
    surface = Surface(vertices, surface.faces, surface.face_labels, surface.pictured)
    if generator.random() < 0.5:
        surface = clustered(surface, height * np.exp(generator.uniform(np.log(0.01), np.log(0.09))))
    return surface


def _roughness(points: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Smooth noise (N, 3) of about unit size: waves in random directions, of 0.03 to 0.6 face heights."""
    total = np.zeros(points.shape)
    for _ in range(8):
        wave = generator.normal(size=3)
        wave *= 2 * np.pi / np.exp(generator.uniform(np.log(0.03), np.log(0.6))) / np.linalg.norm(wave)
        total += np.sin(points @ wave + generator.uniform(0, 2 * np.pi))[:, None] * generator.normal(size=3)
    return total / np.sqrt(8 / 2)


def smoothed(vertices: np.ndarray, faces: np.ndarray, steps: int) -> np.ndarray:
    """Vertices moved half way to their neighbours' mean, `steps` times."""
    rows, columns = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1), faces[:, [1, 0, 2, 1, 0, 2]].reshape(-1)
    links = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), (len(vertices),) * 2).tocsr()
    degree = np.asarray(links.sum(1)).reshape(-1)
    for _ in range(steps):
        means = links @ vertices / np.maximum(degree, 1)[:, None]
        vertices = np.where(degree[:, None] > 0, 0.5 * (vertices + means), vertices)
    return vertices


def clustered(surface: Surface, cell: float) -> Surface:
    """A coarser surface: all vertices within a cell of a grid become one, at their mean."""
    grid = np.floor(surface.vertices / cell).astype(np.int64)
    _, index, counts = np.unique(grid, axis=0, return_inverse=True, return_counts=True)
    index = index.reshape(-1)
    vertices = (
        np.stack([np.bincount(index, surface.vertices[:, axis]) for axis in range(3)], -1) / counts[:, None]
    )
    faces = index[surface.faces]
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return Surface(vertices, faces, surface.face_labels, surface.pictured).select(whole)


def draw_cameras(frame: FaceFrame, count: int, generator: np.random.Generator) -> np.ndarray:
    """Cameras (N, 4, 4): most as labelling looks at a face, some as the search does, from all around and askew."""
    poses = []
    for _ in range(count):
        kind = generator.random()
        if kind < 0.75:
            yaw, pitch, roll = generator.uniform(-70, 70), generator.uniform(-18, 22), generator.normal(0, 6)
            zoom = generator.uniform(1.0, 1.5)
        elif kind < 0.92:
            yaw, pitch, roll = (
                generator.uniform(-180, 180),
                generator.uniform(-25, 25),
                generator.normal(0, 12),
            )
            zoom = generator.uniform(1.4, 2.8)
        else:
            yaw, pitch, roll = (
                generator.uniform(-180, 180),
                generator.uniform(-85, 85),
                generator.uniform(-180, 180),
            )
            zoom = generator.uniform(1.2, 2.5)
        pose = portrait_cameras(frame, np.radians([yaw]), np.radians([pitch]), zoom)[0]
        turn, angle = np.eye(4), np.radians(roll)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        poses.append(pose @ turn)
    return np.stack(poses)
