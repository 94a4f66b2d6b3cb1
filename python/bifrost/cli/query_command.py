# SPDX-License-Identifier: Apache-2.0
"""`bifrost query`: which assets of the catalogue, as a table, JSON or CSV."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from bifrost.cli.columns import print_columns, printable
from bifrost.cli.options import TEXT
from bifrost.control_characters import escaped_in_json

if TYPE_CHECKING:
    from bifrost.catalogue.query import QueryPage
    from bifrost.host import BifrostHostInterface

_COLUMNS: Final = ("id", "name", "type", "status", "version", "modifiedDate", "tags")
_WHOLE: Final = "uri id name type status tags description version deprecated createdDate "
_CSV_COLUMNS: Final = (*_WHOLE.split(), "modifiedDate", "createdBy", "metadata")
_EMPTY: Final = ""


@click.command()
@click.argument("document", metavar="QUERY", required=False)
@click.option("--saved", metavar="NAME", type=TEXT, help="Run the query that was saved under NAME.")
@click.option(
    "--save", metavar="NAME", type=TEXT, help="Save QUERY under NAME instead of running it."
)
@click.option("--list", "listing", is_flag=True, help="List the saved queries.")
@click.option(
    "--forget", metavar="NAME", type=TEXT, help="Forget the query that was saved under NAME."
)
@click.option("--table", "form", flag_value="table", default="table", help="Print a table.")
@click.option("--json", "form", flag_value="json", help="Print JSON.")
@click.option("--csv", "form", flag_value="csv", help="Print comma-separated values.")
def query(
    document: str | None,
    saved: str | None,
    save: str | None,
    listing: bool,
    forget: str | None,
    form: str,
) -> None:
    """
    Find assets of the catalogue.

    QUERY is JSON, `-` reads it from standard input. With --saved it may give another limit, offset,
    cursor, fields or count. The language: docs/queries.md.

    \b
    bifrost query '{"types": ["model"], "tags": "hero"}'
    bifrost query '{"$text": "dragon", "limit": 20}' --json
    bifrost query '{"aggregate": {"by": ["type"]}}' --csv
    """
    if sum(bool(each) for each in (saved, save, listing, forget)) > 1:
        raise click.UsageError("--saved, --save, --list and --forget don't go together")
    if document is None and not (saved or listing or forget):
        raise click.UsageError('expected a QUERY, such as \'{"types": ["model"]}\'')
    if document is not None and (listing or forget):
        raise click.UsageError("--list and --forget take no QUERY")
    from bifrost.host import BifrostHostInterface

    # The host knows who asks; what they may not read isn't found.
    host = BifrostHostInterface()
    asked: Any = None if document is None else _parsed(document)
    if listing:
        _print_saved(host, form)
    elif forget:
        host.forget_query(forget)
    elif save:
        host.save_query(save, asked)
    else:
        page = host.run_saved_query(saved, asked) if saved else host.query_assets(asked)
        _print(page, form)


def _parsed(document: str) -> Any:
    if document == "-" and sys.stdin is None:
        raise click.UsageError("QUERY is -, and standard input is closed")
    try:
        return json.loads(sys.stdin.read() if document == "-" else document)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise click.UsageError(f"QUERY is no JSON: {error.msg} at {where}") from None
    except (RecursionError, ValueError):
        raise click.UsageError("QUERY is no JSON that makes sense: too deep or too long") from None


def _print_saved(host: BifrostHostInterface, form: str) -> None:
    found = [
        {"name": each.name, "query": each.document, "createdBy": each.created_by}
        for each in host.saved_queries()
    ]
    _write(found, ("name", "createdBy", "query"), form, {"queries": found})


def _print(page: QueryPage, form: str) -> None:
    whole: dict[str, Any] = {"groups": page} if page.grouped else {"assets": page}
    if not page.grouped:
        whole["cursor"] = page.cursor
    if page.total is not None:
        whole["total"] = page.total
    _write(page, _columns(page, form), form, whole)
    if form != "json":
        _print_rest(page)


def _columns(page: QueryPage, form: str) -> Sequence[str]:
    if page and not page[0].keys() >= set(_CSV_COLUMNS):
        return tuple(page[0])  # groups, or what the query's `fields` say
    return _CSV_COLUMNS if form == "csv" else _COLUMNS


def _print_rest(page: QueryPage) -> None:
    """Say on stderr what a table has no place for."""
    if page.total is not None:
        _say(f"{page.total} in all")
    if page.cursor is not None:
        _say(f'there are more: "cursor": "{page.cursor}"')


def _write(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], form: str, whole: Mapping[str, Any]
) -> None:
    if form == "json":
        click.echo(escaped_in_json(json.dumps(whole, indent=2, ensure_ascii=False)))
    elif form == "csv":
        click.echo(_csv(rows, columns), nl=False)
    elif sys.stdout.isatty():
        _print_rich(rows, columns)
    else:
        print_columns(columns, [[_cell(row.get(each)) for each in columns] for row in rows])


def _csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def _print_rich(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text(printable(_cell(row.get(column)))) for column in columns))
    Console().print(table)


def _cell(value: Any) -> str:
    match value:
        case None:
            return _EMPTY
        case str():
            return value
        case list() if all(isinstance(each, str) for each in value):
            return " ".join(value)
    return json.dumps(value, ensure_ascii=False)


def _say(text: str) -> None:
    click.echo(f"bifrost: {text}", err=True)
