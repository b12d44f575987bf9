"""Why ElevenLabs refuses something, and what to do about it.

It tells by a code: in an error message, in the body of a refusal, or as the reason of a close
frame. Where there is none, the sentence in its place is searched for words. It is not shown, since
it may quote what is being said.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from serve_app.agent.http_refusals import refusal, shown_code
from serve_app.errors import EngineError, EngineRefused, EngineUnavailable


@dataclass(frozen=True, slots=True)
class _Reason:
    """One reason for a refusal."""

    codes: frozenset[str]
    words: re.Pattern[str]
    """What a sentence has that says the same."""
    kind: type[EngineError]
    advice: str
    """`{key}` is the variable with the key."""


def _reason(codes: str, words: str, kind: type[EngineError], advice: str) -> _Reason:
    return _Reason(frozenset(codes.split()), re.compile(words, re.IGNORECASE), kind, advice)


_REASONS = (
    _reason(
        "invalid_api_key needs_authorization unauthorized",
        r"\bapi key\b",
        EngineRefused,
        "check {key}",
    ),
    _reason(
        "missing_permissions",
        r"\bpermission",
        EngineRefused,
        "allow text to speech for the key in {key}, in ElevenLabs' settings of API keys",
    ),
    _reason(
        "quota_exceeded",
        r"\bquota\b|\bcredits\b",
        EngineRefused,
        "the account's characters are used up; buy more, or name another voice in"
        " args.agent.tts_fallbacks",
    ),
    _reason(
        "payment_required paid_plan_required subscription_required voice_access_denied"
        " free_users_not_allowed",
        r"\bfree users\b|\bupgrade your (?:subscription|plan)\b",
        EngineRefused,
        "the account's plan does not have this voice or format; set ELEVEN_LABS_VOICE_ID to one"
        " that it has (free plans have none of the library), or upgrade the plan",
    ),
    _reason(
        "voice_not_found voice_does_not_exist voice_id_does_not_exist invalid_voice_id"
        " invalid_voice",
        r"\bvoice\b.*\b(?:does not exist|not found|invalid)\b",
        EngineRefused,
        "the account has no such voice; set ELEVEN_LABS_VOICE_ID to the id of one of its voices",
    ),
    _reason(
        "unsupported_model model_not_found model_does_not_exist invalid_model invalid_model_id"
        " model_access_denied",
        r"\bmodel\b.*\b(?:does not exist|not found|invalid|not (?:yet )?(?:supported|available))\b",
        EngineRefused,
        "this model cannot be used here; set ELEVEN_LABS_MODEL_ID to another one, or"
        " args.agent.tts.transport to http",
    ),
    _reason(
        "output_format_not_allowed invalid_output_format unsupported_output_format",
        r"\boutput.?format\b",
        EngineRefused,
        "the account's plan does not have this format; leave ELEVEN_LABS_OUTPUT_FORMAT out, and"
        " pcm_22050, which every plan has, is resampled",
    ),
    _reason(
        "detected_unusual_activity",
        r"\bunusual activity\b",
        EngineRefused,
        "ElevenLabs has stopped free use from this network; use a paid plan, and no VPN",
    ),
    _reason(
        "max_character_limit_exceeded text_too_long",
        r"\bcharacter limit\b",
        EngineError,
        "one clause is longer than the model takes",
    ),
)
_BUSY = {
    "concurrent_limit_exceeded",
    "max_active_conversations",  # too many contexts on one socket
    "rate_limit_exceeded",
    "system_busy",
    "too_many_concurrent_requests",
}
_BY_STATUS = {
    402: "the account's plan does not have this; upgrade it, or choose another voice with"
    " ELEVEN_LABS_VOICE_ID",
    403: "check {key} and its permissions, and that ELEVEN_LABS_MODEL_ID and ELEVEN_LABS_VOICE_ID"
    " may be used over WebSockets; if not, set args.agent.tts.transport to http",
    404: "check ELEVEN_LABS_VOICE_ID, ELEVEN_LABS_MODEL_ID and ELEVEN_LABS_API_URL",
}


def reported(code: str, key: str, sentence: str = "") -> EngineError:
    """The error that ElevenLabs names by `code`, or describes in `sentence`. `key` is the variable
    with the API key."""
    shown = shown_code(code)
    if code in _BUSY:
        return EngineUnavailable("tts", f"ElevenLabs is busy ({shown})")
    message = f"ElevenLabs reported an error ({shown or 'without a code'})"
    is_named = bool(shown) and not shown.isdecimal()
    reason = _find(code, "" if is_named else f"{sentence} {code}")
    if reason is None:
        return EngineError("tts", message)
    return reason.kind("tts", f"{message}: {reason.advice.format(key=key)}")


def refused(status: int, body: object, key: str) -> EngineError:
    """The error for an HTTP status that is no success; `body` is the answer, parsed or not."""
    code, sentence = _told(body)
    if code in _BUSY:
        return EngineUnavailable("tts", f"ElevenLabs is busy ({shown_code(code)})")
    reason = _find(code, sentence) if status < 500 and status not in (408, 429) else None
    if reason is not None:
        told = f"HTTP {status} {shown_code(code)}".rstrip()
        return reason.kind("tts", f"{told}: {reason.advice.format(key=key)}")
    error = refusal("tts", status, key, code)
    if advice := _BY_STATUS.get(status):
        told = f"HTTP {status} {shown_code(code)}".rstrip()
        return type(error)("tts", f"{told}: {advice.format(key=key)}")
    return error


def _find(code: str, sentence: str) -> _Reason | None:
    by_code = (reason for reason in _REASONS if code in reason.codes)
    by_words = (reason for reason in _REASONS if reason.words.search(sentence))
    return next(by_code, None) or next(by_words, None)


def _told(body: object) -> tuple[str, str]:
    """The code and the sentence in `{"detail": {"status": ..., "code": ..., "message": ...}}`."""
    if isinstance(body, bytes | bytearray | str):
        try:
            body = json.loads(body)
        except ValueError:
            return "", ""
    detail: Any = body.get("detail", body) if isinstance(body, dict) else None
    if isinstance(detail, str):
        return "", detail
    if not isinstance(detail, dict):
        return "", ""
    # `status` was the code before `code` was added; both are sent.
    codes = [str(detail.get(name) or "") for name in ("code", "status")]
    known = next((code for code in codes if _find(code, "") or code in _BUSY), "")
    return known or codes[0] or codes[1], str(detail.get("message") or "")
