"""What is done with trained models: meshes, volumes, attributes, baked heads."""
