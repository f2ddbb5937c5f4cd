"""Of all tests: none tells MLflow, but those of tracking itself, which say so."""

import os

os.environ["SOFGAN_TRACKING"] = "off"
