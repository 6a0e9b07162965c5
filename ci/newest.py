"""Makes a package of each reproduction that allows any version of the libraries that it uses, so
that one library which does not build spoils no other reproduction; see ci/upstream.sh.

Usage:  ci/newest.py FOLDER PROGRAM...    writes FOLDER/NAME for each file NAME.rs
"""

import json
import pathlib
import re
import shutil
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


def manifest(name, source, libraries):
    """The manifest of one package. A TOML value may be written as JSON, but for its tables."""
    lines = ["[workspace]", 'resolver = "3"', "[package]", f'name = "{name}"', 'edition = "2024"']
    lines += ["[profile.dev]", "debug = false", "opt-level = 2"]
    for library, wanted in libraries.items():
        if not re.search(rf"\b{library.replace('-', '_')}::", source):
            continue
        options = wanted if isinstance(wanted, dict) else {}
        lines.append(f"[dependencies.{library}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in options.items()
                  if key != "version"]
        lines.append('version = "*"')
    return "\n".join(lines) + "\n"


folder, *programs = map(pathlib.Path, sys.argv[1:])
with open(ROOT / "proof" / "upstream" / "Cargo.toml", "rb") as file:
    libraries = tomllib.load(file)["dependencies"]
for program in programs:
    package = folder / program.stem
    shutil.rmtree(package, ignore_errors=True)
    (package / "src").mkdir(parents=True)
    source = program.read_text()
    (package / "src" / "main.rs").write_text(source)
    (package / "Cargo.toml").write_text(manifest(program.stem, source, libraries))
