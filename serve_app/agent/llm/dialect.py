"""What one server takes of OpenAI's API, as far as its settings and its refusals have told."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from serve_app.agent.llm.reasoning import AUTO, least_effort, least_named
from serve_app.agent.llm.refusals import Refusal
from serve_app.agent.llm.role_order import RoleOrder
from serve_app.settings.agent import LlmSettings

_STATUSES = (400, 404, 422, 500)
"""404 is OpenRouter's for a model without tools; 500 is what llama.cpp and Ollama make of a chat
template that raises an error."""
_ALTERNATE = re.compile(
    r"roles? must alternate|alternate between user|must alternate user|first message must"
    r"|expected last role|unexpected role|immediately after a user turn",
    re.IGNORECASE,
)
_NO_SYSTEM = re.compile(
    r"system.{0,12}(role|messages?|prompts?).{0,12} not (supported|allowed)"
    r"|role.{0,4}system.{0,4} (is )?not supported|does not support .?system"
    r"|(system|developer) (instruction|message) is not (enabled|supported)",
    re.IGNORECASE,
)
_OTHER_LIMIT = re.compile(r"use '?max_completion_tokens|max_completion_tokens'? instead")
_NO_TOOLS = re.compile(
    r"does not support (tools|function)|tools? (use|calling|calls)? ?(is|are) not supported"
    r"|support tool use|requires --enable-auto-tool-choice",
    re.IGNORECASE,
)
_WANTS_THOUGHTS = re.compile(
    r"reasoning_content.{0,60}(missing|must be passed)|missing.{0,12}reasoning_content",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to ask this server."""

    roles: RoleOrder = "free"
    learns_roles: bool = True
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    effort: str = ""
    """`reasoning_effort`; empty is not sent."""
    learns_effort: bool = True
    has_tools: bool = True
    """Whether the model can be offered tools."""
    returns_thoughts: bool = False
    """Whether a request with the results of tools holds what the model thought before it asked."""

    def after(self, refusal: Refusal, offers_tools: bool) -> "tuple[Dialect, str] | None":
        """How to ask instead after this refusal, and what was learnt, for the log. None if the
        refusal says nothing about that. `offers_tools`: whether the request did."""
        if refusal.status not in _STATUSES:
            return None
        message = refusal.text
        return (
            self._limit_after(message)
            or self._effort_after(message)
            or self._tools_after(message, offers_tools)
            or self._roles_after(message)
            or self._thoughts_after(message)
        )

    def _limit_after(self, message: str) -> "tuple[Dialect, str] | None":
        if self.limit == "max_completion_tokens" or not _OTHER_LIMIT.search(message):
            return None
        return replace(self, limit="max_completion_tokens"), "it takes max_completion_tokens"

    def _effort_after(self, message: str) -> "tuple[Dialect, str] | None":
        if not self.learns_effort or "reasoning_effort" not in message:
            return None
        effort = least_named(message)
        if effort == self.effort:
            return None
        what = f"it takes reasoning_effort {effort}" if effort else "it takes no reasoning_effort"
        return replace(self, effort=effort), what

    def _tools_after(self, message: str, offers_tools: bool) -> "tuple[Dialect, str] | None":
        if not (offers_tools and self.has_tools and _NO_TOOLS.search(message)):
            return None
        return replace(self, has_tools=False), "it has no tools: replies do without"

    def _roles_after(self, message: str) -> "tuple[Dialect, str] | None":
        if not self.learns_roles or self.roles == "no-system":
            return None
        if _NO_SYSTEM.search(message) or (self.roles != "free" and _ALTERNATE.search(message)):
            return replace(self, roles="no-system"), "it takes no system message (llm.role_order)"
        if _ALTERNATE.search(message):
            return replace(self, roles="alternating"), "it wants roles in turn (llm.role_order)"
        return None

    def _thoughts_after(self, message: str) -> "tuple[Dialect, str] | None":
        if self.returns_thoughts or not _WANTS_THOUGHTS.search(message):
            return None
        return replace(self, returns_thoughts=True), "it wants its thoughts back with tool results"


def dialect_of(settings: LlmSettings) -> Dialect:
    """What the settings say about the server."""
    learns_roles, learns_effort = settings.role_order == "auto", settings.reasoning_effort == AUTO
    return Dialect(
        roles="free" if settings.role_order == "auto" else settings.role_order,
        learns_roles=learns_roles,
        # OpenAI's newer models refuse max_tokens; most other servers know no other name.
        limit="max_completion_tokens" if settings.provider == "openai" else "max_tokens",
        effort=least_effort(settings.model) if learns_effort else settings.reasoning_effort,
        learns_effort=learns_effort,
    )
