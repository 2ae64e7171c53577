"""Ensembles: independent runs of one algorithm that train at once in one process, with stacked weights."""
