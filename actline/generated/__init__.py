"""The generated benchmark: a seeded set of videos whose classes are motions."""
