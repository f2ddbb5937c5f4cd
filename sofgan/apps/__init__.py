"""Uses of trained models.

`mesh.py` extracts a head as a mesh, `baked.py` turns one into a grid for interactive views, `volume_picture.py` draws
one as a volume, and `attributes.py` finds directions of code space such as hair length.
"""
