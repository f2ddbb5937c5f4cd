"""Command line, Prefect flows and deployments: they run the stages, somewhere, at some time."""
