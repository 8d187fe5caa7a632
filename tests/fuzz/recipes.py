"""Recipes that mean something else, or nothing."""

from __future__ import annotations

from random import Random

from tests.fuzz.structured import TEXTS

_TOML = (
    *(
        "0",
        "-1",
        "1e999",
        "nan",
        "inf",
        "9" * 5000,
        '"' + "x" * 2000 + '"',
        "[]",
        "{}",
        "[[[[]]]]",
        "true",
        '"{a}"',
        "''",
    ),
    *(
        "1979-05-27",
        "07:32:00",
        '"\\u0000"',
        '"\\ud800"',
        "'''",
        '"otsu"',
        '"p101"',
        '"@nowhere.npy"',
        '"@x.npy"',
        "0x10",
    ),
    *(
        "'(a+)+$'",
        "'(' ",
        "'(?P<a>.)(?P=a)*'",
        "'[[:alpha:]'",
        "'a{4294967296}'",
        "'(?i'",
        '"top0"',
        '"zero200%"',
        '"1e9999"',
    ),
    *(
        "'" + "(" * 500 + ")" * 500 + "'",
        "'.*' * 2",
        "[1, 'a', {b = 2}]",
        "{rule = 'hard'}",
        "1_000",
        "'*[!'",
        "'" + "*a" * 400 + "'",
    ),
    *(
        '"top99999999999999999999"',
        '"1/0"',
        '"local-mean:0"',
        '"local-gaussian:99999999999"',
        '"sauvola:1"',
        '"multiotsu:9"',
        "'**'",
    ),
    *(
        "[" * 2000 + "]" * 2000,
        "{a=" * 2000 + "0" + "}" * 2000,
        '"0x1p-99999"',
        '"-inf"',
        '"sigma1e400"',
        '"energy-5%"',
    ),
)


def toml(random: Random, data: bytes) -> bytes:
    """A recipe whose lines are moved and whose values are others."""
    lines = data.decode().splitlines()
    for _ in range(random.choice((1, 1, 2, 4))):
        place = random.randrange(len(lines)) if lines else 0
        line = lines[place] if lines else ""
        action = random.randrange(7)
        if action < 3 and "=" in line:
            lines[place] = line.split("=", 1)[0] + "= " + random.choice(_TOML)
        elif action == 3:
            lines.insert(place, random.choice([*lines, "[[rules]]", "[variables]", f"{random.choice(TEXTS[:3])} = 0"]))
        elif action == 4 and lines:
            del lines[place]
        elif action == 5 and lines:
            other = random.choice(lines)
            lines[place] = other.split("=", 1)[0] + "=" + line.split("=", 1)[-1]
        else:
            name = random.choice(
                ("low", "high", "threshold", "scope", "axes", "pack", "bins", "at_least", "estimate_mask")
            )
            name = random.choice((name, "regex", "steps", "keep", "optional", "out_dtype", "ties", "n", "m", "window"))
            lines.insert(place, f"{name} = {random.choice(_TOML)}")
    return "\n".join(lines).encode("utf-8", "surrogatepass")
