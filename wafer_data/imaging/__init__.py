"""One image file, byte string or array in, one grey array out, for training and tool alike: numpy and Pillow."""
