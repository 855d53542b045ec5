"""Texts that differ from a given one and look like it."""


def different(text: str) -> str:
    """Another text of the same shape: each letter and each digit is the next one."""
    return "".join(_next(one) for one in text)


def _next(character: str) -> str:
    if character in "0123456789":
        return "1234567890"["0123456789".index(character)]
    if "a" <= character.lower() <= "z":
        return chr(ord(character) + 1) if character.lower() != "z" else chr(ord(character) - 25)
    return character
