"""Renders docs/STRANGERS.md from strangers.toml. run.py passes what only a run knows: the versions
of the servers, and the profile."""

import pathlib
import re

PATH = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "STRANGERS.md"
QUESTIONS = ("bytes", "limits", "resources", "promptness")
OPENING = """\
# Strangers

For readers who want to know what the suite finds on servers that are not its own.
`ci/strangers.sh` installs and judges the servers, and writes this page from
[proof/strangers/strangers.toml](../proof/strangers/strangers.toml): edit that file, not this page.

The servers are of two kinds: the plain examples of [examples/](../examples/README.md), and short
programs that use a library as its documentation shows it. We wrote these, in
[proof/strangers/servers/](../proof/strangers/servers). A fault here is thus a fault of the
documented way, and not always one of the library. The suite starts each server by a command and
judges it at [grade command](CONTRACT.md#what-each-grade-owes).

One fault can make thirty cells red, so this page counts causes and not cells. Each cause has a
program of at most 20 lines in
[proof/strangers/reproductions/](../proof/strangers/reproductions), which needs only Python's
standard library and shows the fault without this suite.
"""
JUDGED = """\
## Judged

Profile `{profile}`. *no*: a MUST is not met. *in part*: a SHOULD is not met. *yes*: every MUST
and SHOULD that was asked is met. If the server failed before a case could ask its own question,
the failure counts only for its cause.
"""
BEFORE = """\
## Not rerun

We judged or probed these public servers once, by hand, at the commit named. That was before the
suite asked about running out of descriptors at this grade, and before it told causes apart. Nothing
reruns them, so these findings may be out of date.
"""


def row(*cells):
    return f"| {' | '.join(cells)} |"


def header(*cells):
    return [row(*cells), row(*["---"] * len(cells))]


def answer(server, question, causes):
    """The answer to one question of a server's certificate, given its causes."""
    found = [causes[one["name"]] for one in server.get("cause", [])]
    levels = {cause["level"] for cause in found if question in cause["questions"]}
    if "MUST" in levels:
        return "no"
    return "in part" if levels else "yes"


def render(table, versions, profile):
    causes = {cause["name"]: cause for cause in table["cause"]}
    lines = [OPENING, JUDGED.format(profile=profile)]
    lines += header("server", "language", "version", *QUESTIONS)
    for server in table["server"]:
        answers = [answer(server, question, causes) for question in QUESTIONS]
        version = f"`{versions.get(server['name'], 'not judged')}`"
        lines.append(row(f"`{server['name']}`", server["language"], version, *answers))
    lines += ["", "## Servers", ""]
    lines += header("server", "what it is", "in the style of", "licence of that", "causes")
    for server in table["server"]:
        names = [f"[{one['name']}](#{one['name']})" for one in server.get("cause", [])]
        without = "".join(f"; judged `--without {one}`" for one in server.get("without", []))
        of = (server["source"], server["licence"])
        says = server["says"] + without
        lines.append(row(f"`{server['name']}`", says, *of, ", ".join(names) or "none"))
    lines += ["", "## Causes"]
    for cause in table["cause"]:
        lines += ["", *render_cause(table, cause)]
    lines += ["", BEFORE]
    lines += header("server", "source", "found then")
    for server in table["before"]:
        lines.append(row(server["name"], server["source"], server["found"]))
    return "\n".join(lines) + "\n"


def render_cause(table, cause):
    """Yields a cause, the servers that have it, and the cells that find it."""
    scripts = {}
    yield f"### {cause['name']}"
    yield ""
    yield f"{cause['level']}. {cause['says']}"
    yield f"What helps: {cause['remedy']}"
    yield ""
    for server in table["server"]:
        for one in server.get("cause", []):
            if one["name"] == cause["name"]:
                scripts[one["reproduction"]] = None
                found = ", ".join(f"`{case}`" for case in one["cases"])
                yield f"- `{server['name']}`: found by {found}."
    yield ""
    for name in scripts:
        path = f"proof/strangers/reproductions/{name}.py"
        yield f"Reproduction: [{name}.py](../{path})"


def facts():
    """The versions and the profile on the present page."""
    text = PATH.read_text(encoding="utf-8")
    profile = re.search(r"^Profile `(\w+)`", text, re.MULTILINE)
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| `([^`]+)` \|", text, re.MULTILINE)
    return dict(rows), profile.group(1) if profile else ""
