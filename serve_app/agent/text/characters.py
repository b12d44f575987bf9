"""Characters that may not travel."""

import re

_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters other than white space, and halves of surrogate pairs. JSON can hold these
(`"\\ud83d"`), UTF-8 cannot."""


def fit(text: str) -> str:
    """`text` without what cannot be sent on, stored or said."""
    return _UNFIT.sub("", text) if _UNFIT.search(text) else text
