"""Self-contained web pages: charts as SVG, pictures inside the file, no script or font from elsewhere."""
