#!/usr/bin/env python3
"""Writes the Unicode tables of Sources/Profiles/Text/Tables, and verifies them against their sources.

    python3 -m venv /tmp/tables && /tmp/tables/bin/pip install unicodedata2==18.0.0 idna==3.20
    /tmp/tables/bin/python scripts/unicode_tables.py [--check]

Keys of suppressed addresses are stored, so the tables may change only together with the rules version
(docs/decisions/0130-address-keys.md). `--check` writes nothing and fails if a file would differ.

A table is text: records of a fixed number of digits, a digit being a character from '0' on for 0...63, the most
significant one first. Code points have 3 digits (below U+40000), or 4 where a table says so.
"""

import bisect
import pathlib
import sys
import unicodedata

import idna
import idna.uts46data as uts46
import unicodedata2 as unidata

TABLES = pathlib.Path(__file__).resolve().parent.parent / "Sources/Profiles/Text/Tables"
VERSION = "18.0.0"
COLUMNS = 96
SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def nfd(text):
    return unidata.normalize("NFD", text)


def nfc(text):
    return unidata.normalize("NFC", text)


def lower_case(c):
    """The simple lower-case mapping. Python's own data is older but stable; newer capitals are mapped by UTS #46."""
    if unicodedata.category(chr(c)) == "Cn":
        mapped = idna_mapping(c)
        return ord(mapped) if unidata.category(chr(c)) == "Lu" and len(mapped) == 1 else c
    lower = chr(c).lower()
    return ord(lower) if len(lower) == 1 else c


def idna_mapping(c):
    """What UTS #46 maps a code point to; itself if it is valid, disallowed, or mapped to what no host name has."""
    index = bisect.bisect_right(uts46.uts46_starts, c) - 1
    status = chr(uts46.uts46_statuses[index])
    if status == "I":
        return ""
    if status != "M":
        return chr(c)
    mapped = uts46.uts46_replacements[index]
    return mapped if all(m > "\x7f" or m.isalnum() or m in "-." for m in mapped) else chr(c)


def is_invisible(c):
    """Controls and formats (Cc, Cf), and the rest of Default_Ignorable_Code_Point (DerivedCoreProperties.txt)."""
    ranges = [
        (0x34F, 0x34F),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x2060, 0x206F),
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFFA0, 0xFFA0),
        (0xFFF0, 0xFFF8),
        (0xE0000, 0xE0FFF),
    ]
    return unidata.category(chr(c)) in ("Cc", "Cf") or any(first <= c <= last for first, last in ranges)


# MARK: Tables


def canonical(c):
    """The canonical decomposition of one step, without the syllables of Hangul, which are computed."""
    found = unidata.decomposition(chr(c))
    if not found or found.startswith("<") or 0xAC00 <= c <= 0xD7A3:
        return None
    parts = [int(part, 16) for part in found.split()]
    return parts + [0] * (2 - len(parts))


def ranges(values):
    """(first, last, value) of consecutive code points with an equal value, for those that have one."""
    found = []
    for c, value in values:
        if found and found[-1][1] == c - 1 and found[-1][2] == value:
            found[-1][1] = c
        else:
            found.append([c, c, value])
    return found


def runs(mapping):
    """(first, last, step, target): every step-th code point is mapped, each to the step-th after the target before."""
    found = []
    for c, target in sorted(mapping.items()):
        if found:
            first, last, step, start = found[-1]
            is_next = c - last in (1, 2) and (step == 0 or c - last == step) and target - start == c - first
            if is_next:
                found[-1] = [first, c, c - last, start]
                continue
        found.append([c, c, 0, target])
    return [(first, last, step or 1, target) for first, last, step, target in found]


def base(c):
    """What a code point of a host name becomes without an entry of its own."""
    return nfc("".join(chr(LOWER.get(ord(d), ord(d))) for d in nfd(chr(c))))


LOWER = {c: lower_case(c) for c in SCALARS if lower_case(c) != c and nfd(chr(c)) == chr(c)}
IDNA = {c: idna_mapping(c) for c in SCALARS if nfc(idna_mapping(c)) != base(c)}


def digits(value, count):
    assert 0 <= value < 64**count, value
    return "".join(chr(0x30 + (value >> 6 * place & 63)) for place in reversed(range(count)))


def tables():
    canonicals = {c: canonical(c) for c in SCALARS if canonical(c)}
    composites = {tuple(parts): c for c, parts in canonicals.items() if parts[1] and nfc(chr(c)) == chr(c)}
    classes = ranges((c, unidata.combining(chr(c))) for c in SCALARS if unidata.combining(chr(c)))
    single = {c: ord(mapped) for c, mapped in IDNA.items() if len(mapped) == 1}
    several = ranges((c, mapped) for c, mapped in IDNA.items() if len(mapped) != 1)
    pool = ""
    records = ""
    for first, last, mapped in several:
        if mapped not in pool:
            pool += mapped
        records += digits(first, 4) + digits(last, 4) + digits(pool.index(mapped), 2 + 1) + digits(len(mapped), 1)
    invisible = ranges((c, 0) for c in SCALARS if is_invisible(c))
    return {
        "LowerCaseTable": (
            "Simple lower-case mappings of what has no canonical decomposition: `first, last: 3 digits |\n"
            "/// step: 1 | target: 3`; every `step`-th code point of a run is mapped.",
            {"runs": "".join(run(*r) for r in runs(LOWER))},
        ),
        "CanonicalTable": (
            "Canonical decompositions of one step, Hangul aside: `code point, first, second: 3 digits`;\n"
            "/// 0: there is no second one. Classes: `first, last: 3 digits | class: 2`, for all but 0.",
            {
                "decompositions": "".join(
                    digits(c, 3) + digits(first, 3) + digits(second, 3) for c, (first, second) in canonicals.items()
                ),
                "classes": "".join(digits(f, 3) + digits(l, 3) + digits(v, 2) for f, l, v in classes),
            },
        ),
        "CompositionTable": (
            "Primary composites by their canonical decomposition: `first, second, composite: 3 digits`.",
            {
                "composites": "".join(
                    digits(first, 3) + digits(second, 3) + digits(c, 3)
                    for (first, second), c in sorted(composites.items())
                )
            },
        ),
        "HostNameTable": (
            "Mappings of UTS #46, non-transitional, but for those that lower case and NFC make anyway:\n"
            "/// to one scalar `first, last: 3 digits | step: 1 | target: 3`, to several or none\n"
            "/// `first, last: 4 digits | offset: 3 | count: 1`, an offset and a count of scalars of `targets`.",
            {
                "runs": "".join(run(*r) for r in runs(single)),
                "texts": records,
                "targets": "".join(digits(ord(c), 3) for c in pool),
            },
        ),
        "InvisibleTable": (
            "Controls, formats and other default-ignorable code points: `first, last: 4 digits`.",
            {"ranges": "".join(digits(f, 4) + digits(l, 4) for f, l, _ in invisible)},
        ),
    }


def run(first, last, step, target):
    return digits(first, 3) + digits(last, 3) + digits(step, 1) + digits(target, 3)


def swift(name, summary, texts):
    parts = []
    for label, text in texts.items():
        lines = [text[i : i + COLUMNS - 10] for i in range(0, len(text), COLUMNS - 10)]
        body = "\\#\n".join(f"        {line}" for line in lines)
        parts.append(f'    static let {label}: StaticString = #"""\n{body}\n        """#\n')
    return (
        f"// Made by scripts/unicode_tables.py of Unicode {VERSION}; not to be edited.\n\n"
        f"/// {summary}\nenum {name} {{\n" + "\n".join(parts) + "}\n"
    )


def verify():
    """The tables are the whole truth of their sources: for every code point."""
    assert unidata.unidata_version == uts46.__version__ == VERSION, (unidata.unidata_version, idna.__version__)
    for c in SCALARS:
        mapped = "".join(chr(LOWER.get(ord(d), ord(d))) for d in nfd(chr(c)))
        lower = nfc("".join(chr(lower_case(ord(d))) for d in nfd(chr(c))))
        assert nfc(mapped) == lower, hex(c)
        # Capital letters lose nothing by being decomposed before they are mapped.
        if chr(c) != "\u0130" and unicodedata.category(chr(c)) != "Cn":
            assert lower == nfc(chr(c).lower()), hex(c)
        assert nfc(IDNA[c] if c in IDNA else base(c)) == nfc(idna_mapping(c)), hex(c)


def main():
    verify()
    stale = []
    for name, (summary, texts) in tables().items():
        path = TABLES / f"{name}.swift"
        text = swift(name, summary, texts)
        if not path.exists() or path.read_text() != text:
            stale.append(path.name)
            if "--check" not in sys.argv:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        print(f"{name}: {sum(map(len, texts.values()))} bytes, {text.count(chr(10))} lines")
    if "--check" in sys.argv and stale:
        sys.exit(f"stale: {', '.join(stale)}")


if __name__ == "__main__":
    main()
