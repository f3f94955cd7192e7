"""Northwind Books: a small shop that shows a whole second factor, to read and to copy from."""
