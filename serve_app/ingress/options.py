"""Whether the engines can do what a client asks for in `open`."""

from collections.abc import Awaitable, Callable, Collection

from serve_app.errors import EngineError
from serve_app.protocol.languages import LANGUAGES
from serve_app.protocol.messages import Open
from serve_app.settings.plan import checked_options
from serve_app.settings.schema import AppConfig

AskLanguages = Callable[[], Awaitable[Collection[str]]]
"""Asks a transcriber for the codes of the languages that its model knows. Raises EngineError."""


class Options:
    """The resolved settings, and what only a transcriber knows of its model."""

    def __init__(self, config: AppConfig, ask_languages: AskLanguages) -> None:
        self._config = config
        self._ask_languages = ask_languages
        self._languages: Collection[str] = config.stt.languages

    async def check(self, message: Open) -> Open:
        """The message, with its language as a code. Raises ProtocolViolation."""
        return checked_options(self._config, message, await self._known_languages())

    async def _known_languages(self) -> Collection[str]:
        """Of a model that is not ours, the name does not say it. While no transcriber answers, any
        language of Whisper's is taken."""
        if not self._languages:
            try:
                self._languages = await self._ask_languages()
            except EngineError:
                return LANGUAGES
        return self._languages
