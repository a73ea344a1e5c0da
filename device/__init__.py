"""The appliance: camera, decision, lids and page of a bin that sorts."""
