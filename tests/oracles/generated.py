"""HL7 v2 messages made by chance from a seed: repetitions, subcomponents, escapes, all value types, other separators now and then."""

import random
import string
from collections.abc import Iterator

USUAL = "|^~\\&"
OTHERS = ("|^~\\&", "|^~\\&", "|^~\\&", "#*%!$", "@^~\\&")
KINDS = ("NM", "ST", "CWE", "CE", "SN", "DT", "TS", "TX")
CODES = ("718-7^Hemoglobin^LN", "2345-7^Glucose^LN^GLU^Sugar^L", "LOC1^Local test^L", "^Only words")
STATUSES = "FFFFPCXIRS"


def messages(count: int, seed: int) -> Iterator[str]:
    """So many ORU^R01, the same for the same seed."""
    chance = random.Random(seed)
    for number in range(count):
        yield made(chance, number)


def made(chance: random.Random, number: int) -> str:
    """One message."""
    written = chance.choice(OTHERS)
    field, component, repetition, escape, inner = written

    def word() -> str:
        text = "".join(chance.choice(string.ascii_letters + "äöüéñ -'.") for _ in range(chance.randint(1, 12))).strip() or "x"
        if chance.random() < 0.15:  # a separator that a careful sender escapes
            text += escape + chance.choice("FSTRE") + escape + chance.choice(string.ascii_letters)
        return text

    def spelled(usual: str) -> str:
        """Something written with the usual separators, in those of this message."""
        return usual.translate(str.maketrans("^~&", component + repetition + inner))

    ids = [
        f"{chance.randint(1, 10**8)}^^^{chance.choice(('NORTH', 'SOUTH', 'NORTH&2.999.5&ISO'))}^{chance.choice(('MR', 'PI', 'SS', ''))}"
        for _ in range(chance.randint(1, 3))
    ]
    born = f"{chance.randint(1930, 2020)}{chance.randint(1, 12):02d}{chance.randint(1, 28):02d}"[: chance.choice((4, 6, 8, 8, 8))]
    name = component.join([word(), word(), *([word()] if chance.random() < 0.4 else [])])
    lines = [
        field.join(
            [
                "MSH",
                component + repetition + escape + inner,
                "LAB",
                "NORTH",
                "HR",
                "HR",
                "20261102081500+0100",
                "",
                spelled("ORU^R01^ORU_R01"),
                f"M{number}",
                "P",
                "2.5.1",
            ]
        ),
        field.join(["PID", "1", "", spelled("~".join(ids)), "", name, "", born, chance.choice("MFOU")]),
    ]
    for order in range(1, chance.randint(2, 4)):
        code = chance.choice(CODES)
        lines.append(
            field.join(
                [
                    "OBR",
                    str(order),
                    f"P{number}-{order}",
                    spelled(f"F{number}-{order}^NORTH"),
                    spelled(code),
                    "",
                    "",
                    "20261102080000",
                    *[""] * 17,
                    "F",
                ]
            )
        )
        for index in range(1, chance.randint(2, 8)):
            kind = chance.choice(KINDS)
            value = {
                "NM": f"{chance.uniform(-5, 500):.{chance.randint(0, 3)}f}",
                "ST": word(),
                "TX": word(),
                "CWE": spelled(f"{chance.randint(1, 999)}^") + word() + component + "L",
                "CE": spelled(f"{chance.randint(1, 999)}^") + word() + component + "L",
                "SN": spelled(chance.choice(("<^9", ">=^12.50", "^7", "^1^-^3"))),
                "DT": "20261101",
                "TS": "20261101081500",
            }[kind]
            lines.append(
                field.join(
                    [
                        "OBX",
                        str(index),
                        kind,
                        spelled(chance.choice(CODES)),
                        "",
                        value,
                        "mg/dL",
                        "1-9",
                        chance.choice(("", "H", "L", "N")),
                        "",
                        "",
                        chance.choice(STATUSES),
                    ]
                )
            )
    return "\r".join(lines) + "\r"
