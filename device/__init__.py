"""The appliance: camera, decision, lids and page of a bin that sorts."""

import os

# ONNX Runtime reads it when it is imported, whoever does that first: it would keep an id of this machine and events in
# its user's home, and look for a host of Microsoft's to send them to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
# A camera that is missing is told by Pilah, once; OpenCV would tell it at every attempt to open it. Its Python calls
# for this have other names in each release.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
