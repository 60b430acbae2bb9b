#!/usr/bin/env python3
"""Which room of src/ may include which: nothing points up, rooms of one floor do not see each other."""
import pathlib
import re
import sys

# room: the rooms it may include, besides itself. The longest matching folder names a file's room.
MAY_USE = {
    "base": set(),
    "formats": {"base"},
    "reference": {"base"},
    "kernels": {"base"},
    "mil": {"base", "formats", "reference"},
    "mil/autodiff": {"base", "mil"},
    "device": {"base", "mil", "reference"},
    "device/apple": {"base", "mil", "device"},
    "device/conformance": {"base", "mil", "device"},
    "device/emulator": {"base", "mil", "device", "reference", "kernels"},
    "device/probe": {"base", "mil", "device"},
    "device/open": {"base", "mil", "device", "device/apple", "device/emulator", "device/probe"},
    "model": {"base", "mil"},
    "train": {"base", "mil", "mil/autodiff", "model", "device", "formats", "kernels"},
    "cli": {"base", "mil", "mil/autodiff", "model", "device", "device/apple", "device/conformance", "device/emulator", "device/open", "device/probe", "formats", "kernels", "train"},
    "capi": {"base", "mil", "model", "device", "device/open", "formats", "train"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def room_of(path):
    rooms = [room for room in MAY_USE if path.startswith(room + "/")]
    return max(rooms, key=len) if rooms else None


def faults(path, text):
    room = room_of(path)
    if room is None:
        yield f"{path}: lies in no room; the rooms are {', '.join(MAY_USE)}"
        return
    for number, line in enumerate(text.splitlines(), 1):
        found = INCLUDE.match(line)
        used = room_of(found.group(1)) if found else None
        if used and used != room and used not in MAY_USE[room]:
            yield f"{path}:{number}: {room}/ may not use {used}/ ({found.group(1)})"


def main():
    # The check itself: it must find what is forbidden and let pass what is not.
    assert list(faults("base/x.h", '#include "mil/type.h"'))
    assert list(faults("kernels/x.h", '#include "formats/npy.h"'))
    assert not list(faults("mil/x.h", '#include "reference/tensor.h"'))
    source = pathlib.Path(__file__).resolve().parent.parent / "src"
    files = sorted(path for path in source.rglob("*") if path.suffix in {".h", ".cc"})
    found = [fault for path in files for fault in faults(path.relative_to(source).as_posix(), path.read_text())]
    print("\n".join(found) if found else f"floors: {len(files)} files include only what their rooms may use")
    return 1 if found else 0


sys.exit(main())
