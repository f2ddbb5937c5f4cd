"""Uses of trained models: meshes, volumes, attributes, baked heads."""
