"""Continued self-supervised pretraining of the backbone on the fab's own images, with and without labels.

The recipe is masked feature distillation: the backbone sees an image with blocks missing and predicts, at every place,
the features that the ready weights give the whole image.
"""
