"""`echo-serve models`: what there is, how large it is, under which licence, and what is here."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from serve_app.models.fetch import ModelStore
from serve_app.models.manifest import Artifact
from serve_app.models.progress import megabytes


def table(models: Mapping[str, Artifact], cache: Path, defaults: Collection[str]) -> Iterator[str]:
    """The lines to print. `defaults` are the names that the server runs unless it is told
    otherwise."""
    store = ModelStore(models, cache)
    width = max(len(name) for name in models)
    yield f"{'model':<{width}}  for  download  here"
    for name, model in models.items():
        size, here = model.download_bytes, _here(store, name, model.download_bytes)
        note = "default" if name in defaults else ""
        row = f"{name:<{width}}  {model.stage:<3}  {megabytes(size):>8}  {here:<6}{note}"
        yield row.rstrip()
        yield f"    {model.title}; {model.licence}"
    yield f"in {cache}"


def _here(store: ModelStore, name: str, total: int) -> str:
    """`yes`, `no`, or what share of the download is here."""
    if store.is_ready(name):
        return "yes"
    here = total - store.left_bytes(name)
    return f"{100 * here // total} %" if here else "no"
