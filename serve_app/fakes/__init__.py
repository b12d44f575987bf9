"""Local servers that stand in for the providers, with delays and faults by script.

For everyone who develops against Echo Serve: `python -m serve_app.fakes.elevenlabs --help`.
"""
