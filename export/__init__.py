"""Export of a trained checkpoint into the bundle that the device runs."""
