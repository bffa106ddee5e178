"""The training itself: the adapter, the loop, and its judging before and after."""
