"""The defect types of synthetic micrographs."""

KNOWN_TYPES = ("scratch", "particle", "residue", "bridge", "missing_feature")
NOVEL_TYPES = ("pattern_shift", "stain")
DEFECT_TYPES = KNOWN_TYPES + NOVEL_TYPES
