"""What sensors, segmenters and trackers make of a room: clean frames in, spoiled frames out, always the same for one seed.

`depth` spoils depth, `segmenter` the masks, `motion` poses and pictures, `rooms` gives clean rooms and `worlds` puts together the
rows of `tests/bench/bench_real.py`. Nothing here knows how masks are grouped.
"""
