"""From a trained run to a bundle. The only room here that may import the training side."""
