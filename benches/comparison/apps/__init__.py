"""The apps that every server is measured with, the same code for all."""
