"""The config: its keys, and how it is read from YAML and JSON, checked and written."""
