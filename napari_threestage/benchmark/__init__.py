"""Methods trained on data sets over seeds, and compared."""
