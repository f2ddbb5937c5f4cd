"""Tracking of stages: terminals, files that DVC keeps, MLflow."""
