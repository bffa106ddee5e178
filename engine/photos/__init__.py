"""Photos and videos alone: reads them, and finds where their cameras stood and points of the scene lie (the extra `photos`)."""
