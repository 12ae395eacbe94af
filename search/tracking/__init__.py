"""MLflow as a projection of studies."""
