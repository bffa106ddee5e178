"""Views of a scene as the judge and the grouping see them: frames, crops, export."""
