"""Converters from the files that packages ship to what `from_pretrained` loads."""
