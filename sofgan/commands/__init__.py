"""Commands for users of trained models: `sofgan VERB`, or `python -m sofgan VERB`.

A verb is a module with `add_arguments(parser)` and `run(arguments)`, which is imported when it is used.
"""

# Module and one line of help by verb.
VERBS = {
    "generate": ("sofgan.commands.generate", "new heads in new looks, a grid"),
    "orbit": ("sofgan.commands.orbit", "a film around one head"),
    "morph": ("sofgan.commands.morph", "a film through several heads and looks"),
    "restyle": ("sofgan.commands.restyle", "one head, one region after another in another style"),
    "edit": ("sofgan.commands.edit", "a head follows its edited label map, on all sides"),
    "photo": ("sofgan.commands.photo", "a person's photo, turned: a film, a sheet, a report of the fit"),
    "mesh": ("sofgan.commands.mesh", "a head as a GLB file, colored by class or painted"),
    "volume": ("sofgan.commands.volume", "a head as a volume: the probability of each class (Fig. 2)"),
    "score": ("sofgan.commands.score", "how far pictures are from others: distances, intervals, floors"),
    "view": ("sofgan.commands.view", "a page on this machine in which heads are turned and restyled"),
    "page": ("sofgan.commands.page", "the same as one HTML file, which needs no server"),
    "replay": ("sofgan.commands.replay", "make a file of these commands again, by the record in it"),
}
