"""Measurements of ports: a zoo of networks of our own definition that every technology is given."""
