"""What a judge's probability means: temperature and bias, and the threshold kept with a model."""
