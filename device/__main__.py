"""`python -m device` is `pilah`."""

from device.cli import main

main()
