"""Who runs the stages, where and when: the command line, Prefect flows and deployments."""
