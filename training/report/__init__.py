"""How good a model is and where it fails: the figures, the plots, and one page that holds both."""
