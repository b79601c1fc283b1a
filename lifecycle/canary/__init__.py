"""Is a canary's version different from production's? Asked of wafers, because images of one wafer are alike."""
