"""Meshes: reading, checking, normalising, labelling; the avatar generator."""
