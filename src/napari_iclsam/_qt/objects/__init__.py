"""Regions as examples, and objects of results: their numbers and measurements."""
