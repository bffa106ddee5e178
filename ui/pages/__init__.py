"""One package for each page: layout and wiring in `tab`, what happens in `handlers`."""
