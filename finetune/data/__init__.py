"""What a training learns from: pairs, corrections, crops."""
