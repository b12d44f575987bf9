"""For all tests. Set before torch is loaded: see serve_app/app.py."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "20000")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
