"""What programs may call by name: the same services as the pages', through the same permissions, with plain values."""
