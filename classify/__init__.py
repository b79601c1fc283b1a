"""Which defect it is: types, sets of types with guaranteed coverage, and unknown ones."""
