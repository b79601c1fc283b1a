"""The life of a model: registry, shadow, canary, drift, retraining, rollback, fleet."""
