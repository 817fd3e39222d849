"""Rows out of files, folders and the hub, and what their cells mean; nothing here knows a model."""
