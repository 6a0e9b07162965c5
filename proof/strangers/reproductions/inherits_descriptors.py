"""A program that the server starts would inherit its descriptors, including a socket."""

import os
import sys

folder = f"/proc/{sys.argv[2]}"
inherited = []
for descriptor in os.listdir(f"{folder}/fd"):
    with open(f"{folder}/fdinfo/{descriptor}", encoding="ascii") as file:
        flags = next(int(line.split()[1], 8) for line in file if line.startswith("flags:"))
    if int(descriptor) > 2 and not flags & os.O_CLOEXEC:
        inherited.append(os.readlink(f"{folder}/fd/{descriptor}"))
print(*inherited)
sys.exit(0 if any(name.startswith("socket:") for name in inherited) else 1)
