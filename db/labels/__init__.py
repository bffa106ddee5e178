"""Labels and what is derived from them."""
