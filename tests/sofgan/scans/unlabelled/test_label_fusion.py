"""Votes of views on a surface: they spread as far as they should, and what is left over goes."""

import numpy as np
import pytest
import trimesh
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from sofgan import labels
from sofgan.scans.face_frame import FaceFrame
from sofgan.scans.materials import Material
from sofgan.scans.reading import RawScan, ScanError
from sofgan.scans.unlabelled.label_fusion import (
    accumulate_votes,
    classes_of_pieces,
    fuse,
    neighbouring_triangles,
    plausible_classes,
    random_walk,
    surface_graph,
    without_specks,
)

# Eyes at the origin, a mouth one unit below.
FRAME = FaceFrame(np.eye(3), np.zeros(3), np.array([0, -1.0, 0]), 0.9)


def _scan(vertices, faces, colors=None):
    """A scan whose triangles are of `colors` (F, 3)."""
    corner_colors = None if colors is None else np.repeat(np.asarray(colors, np.uint8)[:, None], 3, 1)
    return RawScan(
        np.asarray(vertices, float), np.asarray(faces), np.zeros(len(faces), int), ((),), None, corner_colors,
        (Material(),),
    )  # fmt: skip


def _strip(count, shift=(0.0, 0.0, 0.0), size=1.0):
    """A band of `count` triangles along +X: vertices and faces."""
    n = np.arange(count + 2)
    vertices = size * np.stack([n / 2, n % 2, 0 * n], -1) + shift
    return vertices, np.stack([n[:-2], n[1:-1], n[2:]], -1)


def _grid(side, size=1.0, shift=(0.0, 0.0, 0.0)):
    """A square of 2 side^2 triangles."""
    line = np.linspace(0, size, side + 1)
    vertices = np.stack([*np.meshgrid(line, line), np.zeros((side + 1, side + 1))], -1).reshape(-1, 3)
    index = np.arange(len(vertices)).reshape(side + 1, side + 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], 2).reshape(-1, 3)
    return vertices + shift, faces


def _graph(scan):
    return surface_graph(scan, neighbouring_triangles(scan.faces))


def _cleaned(scan, face_labels, frame):
    return without_specks(scan, face_labels, frame, neighbouring_triangles(scan.faces))


def _together(*meshes):
    offsets = np.cumsum([0] + [len(vertices) for vertices, _ in meshes])
    faces = [faces + offset for (_, faces), offset in zip(meshes, offsets)]
    return np.concatenate([vertices for vertices, _ in meshes]), np.concatenate(faces)


def test_random_walk_against_a_dense_solution():
    random = np.random.default_rng(0)
    weights = np.triu(random.random((9, 9)) * (random.random((9, 9)) < 0.5), 1)
    weights[np.arange(8), np.arange(1, 9)] = 0.3  # All hangs together.
    weights = weights + weights.T
    votes = random.random((9, labels.NUM_CLASSES)) * (random.random((9, 1)) < 0.6)
    votes[:, [3, 7]] = 0
    shares = random_walk(sparse.csr_matrix(weights), votes, 1.7)
    laplacian = np.diag(weights.sum(1)) - weights
    expected = np.linalg.solve(np.diag(votes.sum(1)) + 1.7 * laplacian, votes)
    np.testing.assert_allclose(shares, expected, atol=1e-7)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    assert shares.min() > -1e-12 and (shares[:, [3, 7]] == 0).all()


def test_no_votes_at_all_are_an_error():
    with pytest.raises(ScanError, match="no view of its face shows"):
        random_walk(sparse.csr_matrix((3, 3)), np.zeros((3, labels.NUM_CLASSES)), 1.0)


def test_graph_of_a_grid_has_its_inner_edges():
    vertices, faces = _grid(4)
    graph = _graph(_scan(vertices, faces, np.full((32, 3), 90)))
    assert (abs(graph - graph.T)).max() == 0 and graph.diagonal().sum() == 0
    shared = trimesh.Trimesh(vertices, faces, process=False).face_adjacency
    rows, columns = sparse.triu(graph).nonzero()
    assert set(zip(rows.tolist(), columns.tolist())) == set(map(tuple, np.sort(shared, 1).tolist()))
    np.testing.assert_allclose(graph.data, 1)


def test_degenerate_triangles_and_edges_of_three_triangles_are_survived():
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -1, 0]]
    faces = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4], [1, 1, 2], [2, 2, 2]])
    votes = np.zeros((5, labels.NUM_CLASSES))
    votes[0, labels.SKIN] = 1
    shares = random_walk(_graph(_scan(vertices, faces)), votes, 1.0)
    np.testing.assert_allclose(shares[:, labels.SKIN], 1, atol=1e-5)


def test_the_unseen_takes_the_labels_around_it():
    count = 40
    vertices, faces = _strip(count)
    votes = np.zeros((count, labels.NUM_CLASSES))
    votes[:6, labels.SKIN], votes[-6:, labels.HAIR] = 3, 3
    frame = FaceFrame(np.eye(3), np.array([10.0, 0, 0]), np.array([10.0, -20, 0]), 18.0)
    found = fuse(_scan(vertices, faces), votes, frame, 2.0)
    assert set(found) == {labels.SKIN, labels.HAIR}
    assert (np.diff((found == labels.HAIR).astype(int)) >= 0).all()
    assert abs((found == labels.HAIR).sum() - count / 2) <= 1


def test_an_edge_of_colour_stops_what_spreads():
    count, edge = 40, 12
    vertices, faces = _strip(count)
    votes = np.zeros((count, labels.NUM_CLASSES))
    votes[:6, labels.SKIN], votes[-6:, labels.HAIR] = 3, 3
    colors = np.where(np.arange(count)[:, None] < edge, [[220, 180, 160]], [[60, 40, 30]])
    shares = random_walk(_graph(_scan(vertices, faces, colors)), votes, 2.0)
    np.testing.assert_array_equal(shares.argmax(1) == labels.SKIN, np.arange(count) < edge)
    assert shares[edge - 1, labels.SKIN] > 0.7 and shares[edge, labels.HAIR] > 0.7


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_pieces_that_touch_nothing_are_tied(unit):
    large = _grid(6)
    small = _strip(3, (0.2, 0.2, 0.1), 0.05)  # nobody sees it; it lies before the grid's lower left
    far = _strip(3, (5.0, 5.0, 0.0), 0.1)  # seen
    vertices, faces = _together(large, small, far)
    graph = _graph(_scan(unit * vertices, faces))
    assert connected_components(graph, directed=False)[0] == 1
    votes = np.zeros((len(faces), labels.NUM_CLASSES))
    middles = vertices[faces].mean(1)
    votes[:72, labels.SKIN] = middles[:72, 0] < 0.5
    votes[:72, labels.HAIR] = middles[:72, 0] >= 0.5
    votes[-3:, labels.HAT] = 0.2
    shares = random_walk(graph, votes, 2.0)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-4)
    assert (shares[72:75].argmax(1) == labels.SKIN).all()
    assert (shares[75:].argmax(1) == labels.HAT).all()


def test_strands_of_hair_are_tied_to_the_strands_beside_them():
    """An unseen strand close to seen ones is hair, though the scalp below all of them is the largest piece."""
    scalp = _grid(8, 4.0, (0, 0, 0))
    strands = [_strip(4, (0.5, 0.4 * n, 0.5), 0.1) for n in range(8)]
    vertices, faces = _together(scalp, *strands)
    votes = np.zeros((len(faces), labels.NUM_CLASSES))
    votes[:128, labels.SKIN] = 1
    votes[128:, labels.HAIR] = 1
    votes[128 + 12 : 128 + 20] = 0  # The fourth and fifth.
    shares = random_walk(_graph(_scan(vertices, faces)), votes, 2.0)
    assert (shares[128:].argmax(1) == labels.HAIR).all()


def _votes_for(face_labels, weight=4.0):
    return weight * np.eye(labels.NUM_CLASSES)[face_labels]


def test_specks_vanish_and_two_eyes_stay():
    vertices, faces = _grid(80, 4.0, (-2, -2.5, 0))
    middles = vertices[faces].mean(1)
    face_labels = np.full(len(faces), labels.SKIN, np.uint8)
    for x in (-0.45, 0.45):
        face_labels[np.hypot(middles[:, 0] - x, middles[:, 1]) < 0.2] = labels.EYE
    clean = face_labels.copy()
    face_labels[np.hypot(middles[:, 0] - 1.5, middles[:, 1] + 2) < 0.03] = labels.EYE
    face_labels[np.argmin(np.hypot(middles[:, 0] + 0.45, middles[:, 1]))] = labels.BROW  # inside an eye
    face_labels[np.argmin(np.hypot(middles[:, 0], middles[:, 1] + 1))] = labels.HAIR
    assert (face_labels != clean).sum() >= 3
    found = _cleaned(_scan(vertices, faces), face_labels, FRAME)
    np.testing.assert_array_equal(found, clean)
    # Larger scans of the same head, or smaller ones, are treated alike.
    for unit in (1e-6, 1e6):
        frame = FaceFrame(np.eye(3), np.zeros(3), unit * FRAME.mouth, unit * 0.9)
        np.testing.assert_array_equal(_cleaned(_scan(unit * vertices, faces), face_labels, frame), clean)


def test_a_small_piece_that_touches_nothing_keeps_its_label():
    vertices, faces = _together(_grid(10, 4.0, (-2, -2.5, 0)), _strip(2, (0.9, -1, 0.1), 0.02))
    face_labels = np.append(np.full(200, labels.SKIN), [labels.EARRING] * 2).astype(np.uint8)
    np.testing.assert_array_equal(_cleaned(_scan(vertices, faces), face_labels, FRAME), face_labels)


def _allowed(x, y, z):
    """Names of the classes that are plausible at a point."""
    row = plausible_classes(np.array([[x, y, z]]), FRAME)[0]
    return {labels.NAMES[label] for label in np.flatnonzero(row)}


def test_plausible_classes_lie_where_a_face_has_them():
    for side in (-1, 1):
        assert {"eye", "skin", "brow", "eyeglass"} <= _allowed(0.45 * side, 0, 0)
        assert "ear" in _allowed(1.0 * side, -0.3, -1.2) and "ear" not in _allowed(0.4 * side, -0.3, 0)
        assert "earring" in _allowed(1.0 * side, -1.0, -1.2)
    assert "r_nose" in _allowed(0, -0.6, 0.4) and "r_nose" not in _allowed(0, 1.2, -0.3)
    assert {"u_lip", "l_lip", "mouth"} <= _allowed(0, -1.0, 0)
    assert not {"u_lip", "l_lip", "mouth", "neck", "cloth", "necklace"} & _allowed(0, 0.8, 0)
    assert {"neck", "cloth", "necklace"} <= _allowed(0, -2.5, -0.5)
    assert not {"eye", "brow", "r_nose", "hat"} & _allowed(0, -2.5, -0.5)
    back = _allowed(0, 0, -2.5)
    assert {"skin", "hair", "hat"} <= back and not {"eye", "brow", "mouth", "eyeglass", "ear"} & back
    for point in ((0, 0, 0), (0, -3, 0), (0, 2, -1)):
        assert not {"background", "l_nose"} & _allowed(*point)
        assert {"skin", "hair"} <= _allowed(*point)


def test_plausibility_turns_and_grows_with_the_frame():
    random = np.random.default_rng(0)
    points = random.uniform(-3, 3, (300, 3))
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    frame = FaceFrame(turn.T, np.full(3, 7.0), turn @ [0, -100.0, 0] + 7, 90.0)
    np.testing.assert_array_equal(
        plausible_classes(100 * points @ turn.T + 7, frame), plausible_classes(points, FRAME)
    )


def test_implausible_votes_count_for_nothing():
    vertices, faces = _grid(10, 1.0, (-0.5, 2.0, -1.0))
    votes = _votes_for(np.full(200, labels.MOUTH)) + 0.1 * _votes_for(np.full(200, labels.HAIR))
    assert (fuse(_scan(vertices, faces), votes, FRAME, 2.0) == labels.HAIR).all()


def test_both_halves_of_a_nose_vote_for_one():
    vertices, faces = _grid(10, 0.4, (-0.2, -0.8, 0.2))
    sides = np.where(vertices[faces].mean(1)[:, 0] < 0, labels.R_NOSE, labels.L_NOSE)
    votes = _votes_for(sides, 2.0) + _votes_for(np.full(200, labels.SKIN), 1.0)
    before = votes.copy()
    assert (fuse(_scan(vertices, faces), votes, FRAME, 2.0) == labels.R_NOSE).all()
    np.testing.assert_array_equal(votes, before)


def test_votes_are_weighted_by_view_and_straightness_and_never_for_background():
    probabilities = np.zeros((labels.NUM_CLASSES, 2, 3))
    probabilities[labels.SKIN] = 0.5
    probabilities[labels.BACKGROUND] = 0.3
    probabilities[labels.HAIR] = 0.2
    visible = np.array([[-1, 0, 0], [2, 2, 2]], np.int32)
    straightness = np.array([0.5, 0.9, 1.0, 0.1])
    votes = np.zeros((4, labels.NUM_CLASSES))
    for weight in (2.0, 1.0):
        accumulate_votes(votes, probabilities, visible, straightness, weight)
    np.testing.assert_allclose(votes[:, labels.SKIN], [2 * 0.5 * 0.5 * 3, 0, 3 * 0.5 * 3, 0])
    np.testing.assert_allclose(votes[:, labels.HAIR], [2 * 0.5 * 0.2 * 3, 0, 3 * 0.2 * 3, 0])
    assert votes.sum() == pytest.approx(votes[:, [labels.SKIN, labels.HAIR]].sum())
    random = np.random.default_rng(0)
    probabilities = random.random((labels.NUM_CLASSES, 8, 8))
    visible = random.integers(-1, 6, (8, 8)).astype(np.int32)
    straightness, slow = random.random(6), np.zeros((6, labels.NUM_CLASSES))
    for row, column in np.ndindex(8, 8):
        triangle = visible[row, column]
        if triangle >= 0:
            slow[triangle, 1:] += 0.7 * straightness[triangle] * probabilities[1:, row, column]
    votes = np.zeros((6, labels.NUM_CLASSES))
    accumulate_votes(votes, probabilities, visible, straightness, 0.7)
    np.testing.assert_allclose(votes, slow)


def _face_with(*pieces):
    """A wall behind a face whose eyes are at the origin, before it pieces of a class's votes: scan, votes, sizes."""
    wall = _grid(40, 4.0, (-2, -2.5, -0.2))
    meshes, votes = [wall], [_votes_for(np.full(3200, labels.SKIN))]
    for mesh, shares in pieces:
        meshes.append(mesh)
        vote = np.zeros((len(mesh[1]), labels.NUM_CLASSES))
        for label, share in shares.items():
            vote[:, label] = 4.0 * share
        votes.append(vote)
    return _scan(*_together(*meshes)), np.concatenate(votes), [len(votes_) for votes_ in votes]


def test_a_small_piece_is_of_one_class_and_the_skin_beside_it_of_another():
    """A brow that is modelled: its ends, which views hardly show, belong to it, and the skin around does not."""
    brow = _grid(6, 0.3, (0.3, 0.3, 0.0))
    scan, votes, (wall, _) = _face_with((brow, {labels.BROW: 0.8, labels.SKIN: 0.2}))
    votes[wall : wall + 20] = 4.0 * np.eye(17)[labels.SKIN]
    middles = scan.vertices[scan.faces].mean(1)
    around = np.abs(middles - (0.45, 0.45, 0)).max(1) < 0.25
    around[wall:] = False
    votes[around] = 4.0 * (0.6 * np.eye(17)[labels.BROW] + 0.4 * np.eye(17)[labels.SKIN])
    assert around.sum() > 40
    found = fuse(scan, votes, FRAME, 2.0)
    assert (found[wall:] == labels.BROW).all() and (found[:wall] == labels.SKIN).all()
    # A brow that is painted, on a scan without such a piece, stays.
    painted = fuse(_scan(*_grid(40, 4.0, (-2, -2.5, -0.2))), votes[:wall], FRAME, 2.0)
    assert (painted[around[:wall]] == labels.BROW).mean() > 0.5


def _ring(middle, radius, thick):
    ring = trimesh.creation.torus(radius, thick, 24, 6)
    ring.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0]))
    return ring.vertices + middle, np.asarray(ring.faces)


def test_what_hangs_around_the_neck_is_no_neck_and_what_hangs_at_an_ear_no_necklace():
    unsure = {labels.NECK: 0.35, labels.NECKLACE: 0.25, labels.EARRING: 0.1, labels.HAT: 0.2}
    at_ear = {labels.NECK: 0.1, labels.NECKLACE: 0.3, labels.EARRING: 0.16, labels.EAR: 0.2, labels.HAT: 0.1}
    pieces = [(_ring((0, -2.0, 0), 0.6, 0.04), unsure)]
    pieces += [(_ring((side, -1.4, -1.2), 0.1, 0.02), at_ear) for side in (-1.1, 1.1)]
    scan, votes, sizes = _face_with(*pieces)
    found = np.split(fuse(scan, votes, FRAME, 2.0), np.cumsum(sizes)[:-1])
    assert set(found[0]) == {labels.SKIN} and set(found[1]) == {labels.NECKLACE}
    assert set(found[2]) == set(found[3]) == {labels.EARRING}


def test_large_pieces_unclear_ones_and_those_that_no_view_shows_are_left_to_the_walk():
    brow = {labels.BROW: 1.0}
    unclear = dict.fromkeys((labels.SKIN, labels.BROW, labels.EYE, labels.HAIR), 1 / 4)
    scan, votes, sizes = _face_with(
        (_grid(6, 0.3, (0.3, 0.3, 0.0)), unclear),
        (_grid(6, 1.8, (-1.8, 0.3, 0.0)), brow),
        (_grid(6, 0.3, (0.3, 0.0, 0.0)), {labels.BROW: 1e-3}),
        (_grid(6, 0.3, (-0.3, 0.0, 0.0)), brow),
    )
    decided = np.split(
        classes_of_pieces(scan, votes, FRAME, neighbouring_triangles(scan.faces)), np.cumsum(sizes)[:-1]
    )
    assert [set(one.tolist()) for one in decided] == [{-1}, {-1}, {-1}, {-1}, {labels.BROW}]


def test_known_parts_keep_their_class_and_open_ones_take_what_they_may_hold():
    vertices, faces = _grid(40, 4.0, (-2, -2.5, 0))
    middles = vertices[faces].mean(1)
    part = np.where(middles[:, 1] > 0.8, 1, 0) + np.where(middles[:, 1] < -2.0, 2, 0)
    scan = RawScan(vertices, faces, part, ((),) * 3, None, None, (Material(),) * 3)
    may_be = np.zeros((3, labels.NUM_CLASSES), bool)
    may_be[0, [labels.SKIN, labels.MOUTH, labels.NECK]] = True
    may_be[1, labels.HAIR] = may_be[2, labels.L_NOSE] = True
    votes = _votes_for(np.full(len(faces), labels.HAIR)) + _votes_for(np.full(len(faces), labels.SKIN), 0.5)
    lips = (np.abs(middles[:, 0]) < 0.3) & (np.abs(middles[:, 1] + 1) < 0.2)
    votes[lips] = _votes_for(np.full(lips.sum(), labels.U_LIP)) + _votes_for(
        np.full(lips.sum(), labels.MOUTH), 0.1
    )
    found = fuse(scan, votes, FRAME, 0.1, may_be)
    # Even where a nose can't be: names say so.
    assert (found[part == 1] == labels.HAIR).all() and (found[part == 2] == labels.L_NOSE).all()
    assert (found[(part == 0) & ~lips] == labels.SKIN).all() and (found[lips] == labels.MOUTH).mean() > 0.9


def test_specks_of_known_parts_stay():
    vertices, faces = _grid(120, 4.0, (-2, -2.5, 0))
    face_labels = np.full(len(faces), labels.SKIN, np.uint8)
    face_labels[[14400, 18000]] = labels.EARRING
    allowed = np.ones((len(faces), labels.NUM_CLASSES), bool)
    allowed[14400] = np.arange(labels.NUM_CLASSES) == labels.EARRING
    found = without_specks(_scan(vertices, faces), face_labels, FRAME, neighbouring_triangles(faces), allowed)
    assert found[14400] == labels.EARRING and (np.delete(found, 14400) == labels.SKIN).all()
