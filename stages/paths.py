"""Paths that stages read and write, relative to the project's folder: the outs of dvc.yaml, and what is beside them."""

import os
from pathlib import Path

DATA = Path("data")
RAW_SCANS = DATA / "raw/scans"  # a folder a batch
PORTRAITS = DATA / "raw/portraits"  # the embedded photo sets
SCANS = DATA / "scans"  # a folder a batch, a file a scan
VIEWS = DATA / "views"  # likewise
PHOTOS = {"ffhq": DATA / "photos/ffhq", "celebamask": DATA / "photos/celebamask"}  # photo stores
PARSED = DATA / "labels/ffhq"  # label maps of the FFHQ-like photos, by the parser
OWN_MAPS = {"ffhq": PARSED, "celebamask": PHOTOS["celebamask"]}  # stores of the label maps of a set's photos
SOF_PICTURES = DATA / "sof"
INVERTED = DATA / "inverted"
CONDITIONS = DATA / "conditions"
SIW_PICTURES = DATA / "siw"
BASELINE_PICTURES = DATA / "baselines"  # a folder a method
EVALUATION = DATA / "evaluation"
CODE = DATA / "code"
ODDITIES = DATA / "oddities"  # a table a batch, of `score_batch`
FIELDS = DATA / "fields"  # earlier fields to go on from
WEIGHTS = DATA / "weights"  # downloaded networks

PARSERS = Path("models/parsers")
PHOTO_PARSER = PARSERS / "photos.pt"
SHAPE_PARSER = PARSERS / "shapes.pt"
# Their digests: all that the stages of a batch depend on, for dvc.lock has what they depend on once for each batch.
PHOTO_PARSER_DIGEST = PARSERS / "photos.json"
SHAPE_PARSER_DIGEST = PARSERS / "shapes.json"
SOF = Path("models/sof.pt")  # of round 1: scans
SOF_INVERTED = Path("models/sof_inverted.pt")  # of round 2: with the heads behind label maps
SIW = Path("models/siw.pt")
SIW_SCORED = Path("models/siw_scored")  # generators on the way there: the best by its scores
BASELINES = Path("models/baselines")  # a file a method

METRICS = Path("metrics")  # what `dvc metrics show` prints: a few figures of a stage
FIGURES = METRICS / "all"  # all figures of each stage
PLOTS = Path("plots")
REPORT = Path("report")
# States of stopped stages and what is told to MLflow: no stage's out. Of an experiment it is outside of its folder,
# which is another one each time that it is run.
WORK = Path(os.environ.get("SOFGAN_WORK", ".work"))
# Features of photos, which experiments share.
FEATURES = Path(os.environ.get("SOFGAN_FEATURES", ".work/features"))
