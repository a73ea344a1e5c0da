"""Rendered waste: sample pictures that may be published, and one more source to train on."""
