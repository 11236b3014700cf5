"""``jaxbatch kernels``."""

import ast
import dataclasses
import inspect
import itertools
import json
import textwrap
from typing import Any

import click

from jaxbatch.cli import garbage
from jaxbatch.cli.options import debug_option, json_option
from jaxbatch.cli.output import print_json, table


@click.command("kernels")
@click.argument("name", required=False)
@json_option
@debug_option
def command(name: str | None, as_json: bool, debug: bool) -> None:
    """List the kernels; or show one kernel's parameters, columns and an example job."""
    del debug
    garbage.pause()
    from jaxbatch import kernels

    if name is None:
        found = {each: inspect.getdoc(kernels.builtin(each)).splitlines()[0] for each in kernels.names()}  # type: ignore[union-attr]
        if as_json:
            print_json({"kernels": found})
        else:
            click.echo(table(found.items(), indent=""))
            click.echo('\njaxbatch kernels NAME shows one of them; a kernel of your own is "file.py:Class".')
        return
    described = _describe(name)
    if as_json:
        print_json(described)
        return
    click.echo(f"{described['name']}\n\n{described['text']}\n\n[params]")
    click.echo(table((f"{p['name']} = {p['default']}", p["text"]) for p in described["parameters"]))
    click.echo(f"\nAn example job (jaxbatch init --kernel {name} writes it with its tasks):\n\n{described['example']}")


def _describe(name: str) -> dict[str, Any]:
    from jaxbatch import kernels, samples

    kernel = kernels.builtin(name)
    texts = _field_texts(kernel)
    parameters = [
        {"name": field.name, "default": _default(field), "text": texts.get(field.name, "")}
        for field in dataclasses.fields(kernel)  # type: ignore[arg-type]
    ]
    return {
        "name": name,
        "text": inspect.getdoc(kernel),
        "parameters": parameters,
        "example": samples.job_text(name),
    }


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default is dataclasses.MISSING:
        return "(required)"
    if field.default is None:
        return "(none)"
    return json.dumps(field.default)


def _field_texts(kernel: type) -> dict[str, str]:
    """The docstring under each field, which Python itself does not keep."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kernel))).body
    assert isinstance(definition, ast.ClassDef)
    texts = {}
    for field, below in itertools.pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts[ast.unparse(field.target)] = " ".join(str(below.value.value).split())
    return texts
