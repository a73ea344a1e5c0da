"""`pilah calibrate`: find a lid's angles, the tray's place in the picture, and the camera's focus, at a terminal."""
