"""Self-contained web pages: charts as SVG, embedded images, no external scripts or fonts."""
