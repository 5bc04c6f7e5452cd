"""What ``bench new`` writes: plugins that work, to be changed from there. Real modules, but never loaded as plugins."""
