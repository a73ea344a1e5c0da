"""The page: see the bin, ask it, teach it, from any phone on its own network."""
