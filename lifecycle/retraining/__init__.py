"""Retraining in seven steps: extract, validate, train, evaluate, gate, register, shadow. One file a step.

`waferroute.retraining` puts them in order and keeps a record of each; a step that is done is skipped.
"""
