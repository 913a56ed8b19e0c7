"""How good masks are and how they differ (numpy and scipy only)."""

from napari_threestage.compare.confusion import Confusion, Scores

__all__ = ["Confusion", "Scores"]
