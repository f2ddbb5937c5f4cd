"""People on the photos of a set, where its source names them, and which of them are kept from training.

A photo of somebody who was trained on is no test of what was learned, so a person is on one side as a whole. Where
nothing is known of people each photo counts as one of its own.

`identities.txt` beside the photos has a line a photo, its name and who is on it. CelebA has the same as
`identity_CelebA.txt`; CelebA-HQ's own numbers lead to CelebA's names by `CelebA-HQ-to-CelebA-mapping.txt`, which
CelebAMask-HQ comes with.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from sofgan.errors import UserError
from sofgan.photos.store import HELD_OUT, TRAIN, VALIDATION

IDENTITIES, CELEBA_IDENTITIES = "identities.txt", "identity_CelebA.txt"
CELEBA_HQ_MAPPING = "CelebA-HQ-to-CelebA-mapping.txt"
PEOPLE_FILES = (IDENTITIES, CELEBA_IDENTITIES, CELEBA_HQ_MAPPING)


class PeopleError(UserError, ValueError):
    """A file that tells who is on the photos can't be read."""


def read_people(folders: Iterable[Path], names: Iterable[tuple[str, str]]) -> dict[str, str]:
    """People on the photos of a set, by the photos' keys; photos of which the source says nothing are left out.

    Args:
        folders: where such files are looked for.
        names: (key, name relative to where the set's layout begins) of each photo.

    Raises:
        PeopleError: a line of the file is no name with a person, or of the mapping no number with a name, or the file
            names none of the photos, which is a mistake.
    """
    file = _first(folders, IDENTITIES, CELEBA_IDENTITIES)
    if file is None:
        return {}
    people = dict(_lines(file, "a photo's name and who is on it"))
    mapping = _first(folders, CELEBA_HQ_MAPPING) if file.name == CELEBA_IDENTITIES else None
    originals = _celeba_names(mapping) if mapping else {}
    found = {}
    for key, name in names:
        path = PurePosixPath(name)
        called = (name, path.name, key, originals.get(path.stem.lstrip("0") or "0"))
        person = next((people[one] for one in called if one in people), None)
        if person is not None:
            found[key] = person
    if not found:
        raise PeopleError(
            f"{file} names none of the photos; a line has a photo's path, file name or key, and who is on it, and "
            f"CelebA's own leads to CelebA-HQ's photos by a {CELEBA_HQ_MAPPING} beside it"
        )
    return found


def split_people(people: Iterable[str], held_out_share: float, validation_share: float) -> dict[str, int]:
    """The split of each person, by the hash of the name, so that it stays the same when others come.

    About `held_out_share` of all are `HELD_OUT`, `validation_share` `VALIDATION`, the rest `TRAIN`. Of few people
    each side that has a share gets one at least, as long as one is left to train on.
    """
    draws = {person: _draw(person) for person in sorted(set(people))}
    kept = held_out_share + validation_share
    splits = {
        person: HELD_OUT if draw < held_out_share else VALIDATION if draw < kept else TRAIN
        for person, draw in draws.items()
    }
    if held_out_share > 0 and HELD_OUT not in splits.values() and len(draws) > 1:
        splits[min(draws, key=draws.get)] = HELD_OUT
    rest = [person for person in draws if splits[person] == TRAIN]
    if validation_share > 0 and VALIDATION not in splits.values() and len(rest) > 1:
        splits[min(rest, key=draws.get)] = VALIDATION
    if splits and TRAIN not in splits.values():
        splits[max(draws, key=draws.get)] = TRAIN
    return splits


def _first(folders: Iterable[Path], *names: str) -> Path | None:
    return next((place / name for place in folders for name in names if (place / name).is_file()), None)


def _draw(person: str) -> float:
    return int.from_bytes(hashlib.sha256(person.encode()).digest()[:8], "big") / 2**64


def _celeba_names(file: Path) -> dict[str, str]:
    """CelebA's file names by CelebA-HQ's numbers: lines of number, CelebA's number, CelebA's name, below a head."""
    rows = [line.split() for line in _text(file).splitlines()[1:]]
    if any(row and (len(row) < 3 or not row[0].isdecimal()) for row in rows):
        raise PeopleError(
            f"{file} has a line that is no number of CelebA-HQ, number of CelebA and name of CelebA"
        )
    return {row[0].lstrip("0") or "0": row[2] for row in rows if row}


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8-sig", errors="replace")


def _lines(file: Path, what: str) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(_text(file).splitlines(), 1):
        if not line.strip():
            continue
        parts = line.strip().rsplit(None, 1)  # A name may have spaces.
        if len(parts) != 2:
            raise PeopleError(f"{file}: line {number} is not {what}: {line.strip()[:80]!r}")
        yield parts[0], parts[1]
