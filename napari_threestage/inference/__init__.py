"""Prediction of whole images (torch)."""
