"""What is told of a stage: to terminals, to files that DVC keeps, to MLflow."""
