"""How much known models think before they answer. A voice needs the least."""

import re

AUTO = "auto"
"""The least effort of a known model; nothing is sent to others."""
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
"""From the least on. No model knows all of them."""

_UNCHANGEABLE = re.compile(r"(o1-(mini|preview|pro)|o3-pro|gpt-5[\d.]*-(chat|pro|codex)).*")
"""These refuse the setting, or take one value of it only."""
_LEAST = (
    (re.compile(r"gpt-5\.\d+.*"), "none"),
    (re.compile(r"gpt-5(?![\d.]).*"), "minimal"),
    (re.compile(r"(o1|o3|o4)(-.*)?"), "low"),
    (re.compile(r"gpt-oss.*"), "low"),
)
"""By the beginning of the name: what OpenAI's documentation names as the least."""


def least_effort(model: str) -> str:
    """What to ask of this model; empty if nothing is known. A name may have its maker before it
    (`openai/gpt-5-mini`)."""
    name = model.rpartition("/")[2].lower()
    if _UNCHANGEABLE.fullmatch(name):
        return ""
    return next((effort for names, effort in _LEAST if names.fullmatch(name)), "")


def thinks(model: str, effort: str) -> bool:
    """Whether this model thinks before it writes, at this effort (empty: its own), as far as its
    name tells. It may not show that."""
    if effort in ("none", "minimal"):
        return False
    name = model.rpartition("/")[2].lower()
    is_known = any(names.fullmatch(name) for names, _ in _LEAST)
    return effort in EFFORTS or (is_known and "-chat" not in name)


def least_named(message: str) -> str:
    """The least of the efforts that a refusal puts in quotes; empty if there are none."""
    named = set(re.findall(r"'(\w+)'", message.partition("upported values")[2]))
    if "set reasoning_effort to 'none'" in message:
        named = {"none"}
    return next((effort for effort in EFFORTS if effort in named), "")
