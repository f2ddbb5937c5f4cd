"""SofGAN as a library: heads whose shape, viewpoint and look are set apart from each other.

The names below are the public ones: `from sofgan import load_sof, load_siw`. Each is imported when it is first asked
for, so that `import sofgan` is instant and loads neither torch nor a renderer. All else is reached by its module:
`from sofgan.scores.frechet import frechet_distance`.
"""

import importlib

# Modules of this repository import from where a name is defined, so that a stage's list of code holds what it runs.
# The module that defines each public name.
_HOMES = {
    # Label maps: the 17 classes, their display colors.
    "NAMES": "sofgan.labels",
    "PALETTE": "sofgan.labels",
    "colorize": "sofgan.labels",
    # Cameras: poses (4, 4), intrinsics (3, 3), size.
    "Camera": "sofgan.cameras",
    "intrinsics_from_fov": "sofgan.cameras",
    "look_at": "sofgan.cameras",
    "orbit": "sofgan.cameras",
    # The semantic field: heads as label maps from any camera.
    "Sof": "sofgan.sof.sof",
    "load_sof": "sofgan.sof.sof",
    "sample_codes": "sofgan.sof.sampling",
    # The generator: label maps painted with styles.
    "Siw": "sofgan.siw.model",
    "load_siw": "sofgan.siw.model",
    "to_uint8": "sofgan.siw.model",
    # A field and a painter that come with the package.
    "load_starter": "sofgan.starter.files",
    # Photos and their label maps.
    "PhotoStore": "sofgan.photos.store",
    "FaceParser": "sofgan.parsing.parser",
    "load_parser": "sofgan.parsing.parser",
    # Heads as meshes.
    "extract_mesh": "sofgan.apps.mesh",
    "save_glb": "sofgan.apps.mesh",
    # What a wrong input ends in: its message is a sentence that says what to do.
    "UserError": "sofgan.errors",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module 'sofgan' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
