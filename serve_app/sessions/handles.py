"""How the ingress reaches the session actors. They are deployment actors, an alpha API of Serve
that only this module and `app.py` use: they belong to one version of the application, and outlive
the ingress replicas."""

import asyncio
from typing import Any

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from serve_app.errors import EngineUnavailable

_TIMEOUT_S = 5.0
NAMESPACE = "serve"
_SEPARATOR = "::"
_NAME = "sessions-"


def actor_name(index: int) -> str:
    return f"{_NAME}{index}"


def is_session_actor(name: str) -> bool:
    """By the name that Serve gives an actor: KIND::application::deployment::version::name."""
    return name.rpartition(_SEPARATOR)[2].startswith(_NAME) and _SEPARATOR in name


class ActorHandles:
    """Finds actors by name and calls them, with a deadline."""

    def __init__(self) -> None:
        self._handles: dict[str, Any] = {}

    async def ask(self, name: str, method: str, *args: Any) -> Any:
        """What the actor's method returns. Raises EngineUnavailable."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                if name not in self._handles:
                    self._handles[name] = await asyncio.to_thread(_find, name)
                return await getattr(self._handles[name], method).remote(*args)
        except (RayError, RayServeException, ValueError, TimeoutError) as error:
            # An actor that was restarted has another handle.
            self._handles.pop(name, None)
            raise EngineUnavailable("sessions", f"{name}: {type(error).__name__}") from error

    async def of_other_versions(self) -> list[str]:
        """Names, for `ask`, of the actors of other versions of the application. During an update,
        Serve keeps them until the last replica of their version has stopped. Raises
        EngineUnavailable."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await asyncio.to_thread(_others)
        except (RayError, RayServeException, TimeoutError) as error:
            raise EngineUnavailable("sessions", f"no list: {type(error).__name__}") from error


def _find(name: str) -> Any:
    is_whole = _SEPARATOR in name
    return ray.get_actor(name, NAMESPACE) if is_whole else serve.get_deployment_actor(name)


def _others() -> list[str]:
    """By the names that Serve gives: KIND::application::deployment::version::name."""
    context = serve.get_replica_context()
    mine = [context.app_name, context.deployment]
    actors = ray.util.list_named_actors(all_namespaces=True)
    parts = [actor["name"].split(_SEPARATOR) for actor in actors]
    return [
        _SEPARATOR.join(name)
        for name in parts
        if len(name) == 5 and name[1:3] == mine and name[3] != context.code_version
    ]
