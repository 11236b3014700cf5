"""``jaxbatch kernels``: list the kernels, or describe one."""

import ast
import dataclasses
import inspect
import itertools
import json
import textwrap
import typing
from typing import Any

import click

from jaxbatch.cli import garbage_collection
from jaxbatch.cli.options import debug_option, json_option
from jaxbatch.cli.printing import print_json, table


@click.command("kernels")
@click.argument("name", required=False)
@json_option
@debug_option
def command(name: str | None, as_json: bool, debug: bool) -> None:
    """List the kernels, or show one kernel's parameters, columns and an example job."""
    del debug
    garbage_collection.pause()
    from jaxbatch.kernels import registry

    if name is None:
        found = {each: inspect.getdoc(registry.builtin(each)).splitlines()[0] for each in registry.names()}  # type: ignore[union-attr]
        if as_json:
            print_json({"kernels": found})
        else:
            click.echo(table(found.items(), indent=""))
            click.echo('\nShow one with: jaxbatch kernels NAME. A kernel of your own is written "file.py:Class".')
        return
    described = _describe(name)
    if as_json:
        print_json(described)
        return
    click.echo(f"{described['name']}\n\n{described['text']}\n\n[params]")
    parameters = described["parameters"]
    click.echo(table((f"{p['name']} = {p['default']}", f"{p['text']} ({p['type']})") for p in parameters))
    click.echo(f"\nAn example job (jaxbatch init --kernel {name} writes it with its tasks):\n\n{described['example']}")
    for title, text in described["more"].items():
        click.echo(f"\n{title}:\n\n{text}")


def _describe(name: str) -> dict[str, Any]:
    from jaxbatch.cli import job_templates
    from jaxbatch.kernels import registry

    kernel = registry.builtin(name)
    texts, types = _field_texts(kernel), typing.get_type_hints(kernel)
    parameters = [
        {"name": field.name, "type": _kind(types[field.name]), "default": _default(field), "text": texts[field.name]}
        for field in dataclasses.fields(kernel)  # type: ignore[arg-type]
    ]
    return {
        "name": name,
        "text": inspect.getdoc(kernel),
        "parameters": parameters,
        "example": job_templates.job_text(name),
        "more": dict(job_templates.template(name).more),
    }


_KINDS = {str: "a text", int: "an integer", float: "a number", bool: "true or false", type(None): ""}


def _kind(annotation: Any) -> str:
    """A parameter's type in words, as TOML has it."""
    inner = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " or ".join(map(json.dumps, inner))
    if origin in (list, dict):
        item = _kind(inner[-1]).partition(" ")[2]
        return f"{'a list' if origin is list else 'a table'} of {item}s"
    if inner:
        return " or ".join(filter(None, map(_kind, inner)))
    return _KINDS[annotation]


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default is dataclasses.MISSING:
        return "(required)"
    if field.default is None:
        return "(none)"
    return json.dumps(field.default)


def _field_texts(kernel: type) -> dict[str, str]:
    """The docstring under each field, from the source because Python does not keep it."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kernel))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, below in itertools.pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts[ast.unparse(field.target)] = " ".join(str(below.value.value).split())
    return texts
