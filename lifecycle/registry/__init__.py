"""Versions as MLflow's model registry shows them. The folder of versions decides; the registry is its mirror."""
