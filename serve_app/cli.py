"""`echo-serve`: runs the server, has a conversation, keeps the keys of who may connect, lists and
fetches models, replays a session, or forgets one."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from serve_app.errors import ConfigError, VoiceError

DEFAULT_CONFIG = Path("configs/serve.yaml")
DEFAULT_URL = "ws://localhost:4000/conversation"


def main(argv: list[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except ConfigError as error:
        print(f"echo-serve: {error}", file=sys.stderr)
        return 2
    except VoiceError as error:
        print(f"echo-serve: {error}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace) -> int:
    from serve_app.local.server import serve

    return serve(arguments.config, _say, arguments.port, arguments.host, arguments.open)


def _cluster(arguments: argparse.Namespace) -> int:
    from serve_app.local.cluster import run
    from serve_app.local.exposure import Exposure

    exposed = Exposure(**json.loads(arguments.exposed))
    return run(arguments.config, arguments.port, exposed, arguments.progress, _say)


def _demo(arguments: argparse.Namespace) -> int:
    from serve_app.client.demo import demo

    return demo(arguments.config, arguments.wav, _say)


def _models(arguments: argparse.Namespace) -> int:
    from serve_app.models.fetch import cache_dir
    from serve_app.models.listing import table
    from serve_app.models.manifest import MANIFEST
    from serve_app.settings.plan import default_models

    for line in table(MANIFEST, cache_dir(), default_models()):
        _say(line)
    return 0


def _fetch(arguments: argparse.Namespace) -> int:
    from serve_app.models.fetch import fetch_all
    from serve_app.models.manifest import MANIFEST
    from serve_app.settings.plan import default_models

    names = list(MANIFEST) if arguments.all else arguments.names or default_models()
    fetch_all(names, _say)
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from serve_app.local.doctor import Level, examine

    wrong = 0
    for finding in examine(arguments.config, os.environ):
        _say(f"{finding.level:<6} {finding.subject:<11} {finding.text}")
        if finding.advice:
            _say(f"{'':<18} -> {finding.advice}")
        wrong += finding.level is Level.WRONG
    _say("the server will run" if not wrong else f"{wrong} to be put right")
    return int(wrong > 0)


def _talk(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from serve_app.client.talk import Plan, run

    console = Console(highlight=False, soft_wrap=True)
    plan = Plan(
        url=arguments.url,
        prompt=arguments.prompt,
        greets=arguments.greeting,
        wavs=arguments.wav,
        texts=arguments.text,
        out=arguments.out,
        as_json=arguments.json,
        key=arguments.key,
    )
    return run(plan, lambda line, style: console.print(line, style=style or None, markup=False))


def _add_key(arguments: argparse.Namespace) -> int:
    from serve_app.local.keys import add

    add(_keys_file(arguments), arguments.name, arguments.expires, _say)
    return 0


def _list_keys(arguments: argparse.Namespace) -> int:
    from serve_app.local.keys import listing

    listing(_keys_file(arguments), _say)
    return 0


def _revoke_key(arguments: argparse.Namespace) -> int:
    from serve_app.local.keys import revoke

    revoke(_keys_file(arguments), arguments.name, _say)
    return 0


def _keys_file(arguments: argparse.Namespace) -> Path:
    """Raises ConfigError if nothing says which."""
    from serve_app.local.keys import keys_file

    return arguments.file or keys_file(arguments.config, os.environ)


def _replay(arguments: argparse.Namespace) -> int:
    from serve_app.ingress.replay import replay

    result = replay(arguments.log)
    if result.difference:
        _say(f"{arguments.log}: {result.difference}")
        return 1
    _say(f"{arguments.log}: {result.events} events gave the same {result.effects} effects")
    return 0


def _forget(arguments: argparse.Namespace) -> int:
    from serve_app.local.ray_address import stay_on_loopback
    from serve_app.local.ray_token import use_token

    use_token(os.environ, Path.home())
    stay_on_loopback(os.environ, arguments.address)
    from serve_app.local.forget import forget

    return int(not forget(arguments.config, arguments.session, arguments.address, _say))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="echo-serve", description="Give your agents a voice.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="serve on this machine until Ctrl-C")
    run.set_defaults(command=_run)
    run.add_argument("--port", type=int, help="instead of the file's http_options.port")
    run.add_argument(
        "--host", help="listen at this address (default: 127.0.0.1, this machine only)"
    )
    run.add_argument("--open", action="store_true", help="let anybody in, without a key")
    demo = commands.add_parser("demo", help="have one spoken conversation and print it")
    demo.set_defaults(command=_demo)
    demo.add_argument("--wav", type=Path, default=Path("demo.wav"), help="the agent's audio")
    talk = commands.add_parser("talk", help="talk with a server: microphone, recordings or text")
    talk.set_defaults(command=_talk)
    talk.add_argument("--url", default=DEFAULT_URL, help=f"default: {DEFAULT_URL}")
    talk.add_argument("--prompt", default="", help="who the agent is")
    talk.add_argument("--no-greeting", dest="greeting", action="store_false", help="speak first")
    talk.add_argument(
        "--wav", type=Path, action="append", default=[], help="say this; may be repeated"
    )
    talk.add_argument("--text", action="append", default=[], help="type this; may be repeated")
    talk.add_argument("--out", type=Path, help="write what was heard of the agent, a WAV")
    talk.add_argument("--key", help="who you are to the server; default: ECHO_SERVE_KEY")
    talk.add_argument("--json", action="store_true", help="a JSON object for each message")
    doctor = commands.add_parser("doctor", help="say what this machine lacks for a server")
    doctor.set_defaults(command=_doctor)
    # Without help, so it is not listed: `run` and `demo` start it.
    cluster = commands.add_parser("cluster")
    cluster.set_defaults(command=_cluster)
    cluster.add_argument("--port", type=int, required=True)
    cluster.add_argument("--progress", type=int, required=True)
    cluster.add_argument("--exposed", required=True)
    forget = commands.add_parser("forget", help="remove what is kept of one session")
    forget.set_defaults(command=_forget)
    forget.add_argument("session", metavar="SESSION", help="its name in the logs, or its token")
    forget.add_argument("--address", default="auto", help="Ray's, as the server says it at start")
    keys = _keys_parsers(commands)
    for command in (run, demo, doctor, cluster, forget, *keys):
        command.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="a Serve file")
    models = commands.add_parser("models", help="list the models that can be fetched")
    models.set_defaults(command=_models)
    fetch = commands.add_parser("fetch", help="fetch models into the cache")
    fetch.set_defaults(command=_fetch)
    fetch.add_argument("names", nargs="*", metavar="NAME", help="instead of the default models")
    fetch.add_argument("--all", action="store_true", help="fetch every model")
    replay = commands.add_parser(
        "replay", help="replay a session's event log and compare the effects"
    )
    replay.add_argument("log", type=Path, help="a file in args.ingress.event_log_dir")
    replay.set_defaults(command=_replay)
    return parser


def _keys_parsers(commands: Any) -> list[argparse.ArgumentParser]:
    """Those of `keys`."""
    keys = commands.add_parser("keys", help="add, list or revoke the keys of who may connect")
    actions = keys.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make a key and print it, once")
    add.set_defaults(command=_add_key)
    add.add_argument("--expires", metavar="30d", help="after minutes (m), hours (h) or days (d)")
    listed = actions.add_parser("list", help="their names, and when each ends")
    listed.set_defaults(command=_list_keys)
    revoke = actions.add_parser("revoke", help="end a key, and the sessions that it has now")
    revoke.set_defaults(command=_revoke_key)
    for named in (add, revoke):
        named.add_argument("name", metavar="NAME")
    for action in (add, listed, revoke):
        action.add_argument("--file", type=Path, help="default: ECHO_KEYS_FILE or the setting")
    return [add, listed, revoke]


def _say(line: str) -> None:
    """Prints, as long as there is somebody to read: a closed terminal must not end a clean stop."""
    try:
        print(line, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
