"""Face parsers: networks, training, parsing of a whole store."""
