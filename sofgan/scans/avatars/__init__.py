"""The embedded default data: head-and-shoulder scans of invented people, from the CC0 MakeHuman data."""
