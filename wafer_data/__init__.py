"""Images in, arrays out: reading, checking, splitting, augmentation and synthetic anomalies.

Floor 0 of the house: nothing here imports another package of the project. `errors`, `files`, `images`,
`truncation` and `tiff_structure` also run on the inspection tool, where only numpy and Pillow are installed.
"""
