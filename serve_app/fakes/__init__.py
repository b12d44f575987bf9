"""Local servers that stand in for the providers, with scripted delays and faults.

For tests, and for everyone who develops against Echo Serve without keys.
"""
