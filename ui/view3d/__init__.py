"""The room in 3D and pictures of views, as plain arrays and Plotly JSON."""
