"""Replaces a generated part of a page by a file: `place.py PAGE NAME FILE`.

The part is between `<!-- NAME: written by SCRIPT -->` and `<!-- end of NAME -->`.
"""

import re
import sys
from pathlib import Path

page, name, file = sys.argv[1:]
begin, end = f"<!-- {name}: written by [^\n]* -->\n", f"<!-- end of {name} -->"
text = Path(page).read_text()
block = Path(file).read_text() + end
text, count = re.subn(f"({begin}).*?{end}", lambda m: m[1] + block, text, flags=re.S)
if count != 1:
    sys.exit(f"{page} has {count} places for {name}")
Path(page).write_text(text)
