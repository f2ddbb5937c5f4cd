"""Photos and their label maps: the photo store, its sources, the face parser."""
