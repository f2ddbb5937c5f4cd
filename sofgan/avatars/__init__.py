"""The embedded default data: scans and portraits of invented people, from the CC0 MakeHuman data."""
