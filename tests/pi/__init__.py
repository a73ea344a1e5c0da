"""The service on machines that are not there: a container for the unit, and an emulated Raspberry Pi for the whole."""
