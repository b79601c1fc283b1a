"""The bundle as a model repository for NVIDIA's Triton Inference Server, where a fab serves its models with that.

:mod:`repository` writes it; :mod:`served` is the runtime with students that the server runs; the two ``*_model``
modules are copied into the repository as ``model.py`` and run inside the server.
"""
