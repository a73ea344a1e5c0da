"""Training and evaluation of the material classifier on a workstation."""
