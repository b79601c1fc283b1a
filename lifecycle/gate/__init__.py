"""May a candidate go on? All figures against thresholds, and against production on the same images."""
