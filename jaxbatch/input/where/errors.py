"""What is wrong with an expression, and where in it."""

from jaxbatch.errors import InputError

_SHOWN = 24
"""Characters of the expression that a message shows, from the mistake on."""


class WhereError(InputError):
    """An expression that is none, or that does not fit the input."""

    def __init__(self, text: str, at: int, what: str, remedy: str = ""):
        rest = text[at:].replace("\n", " ")
        shown = rest if len(rest) <= _SHOWN else f"{rest[:_SHOWN]}…"
        place = f"at character {at + 1} (`{shown}`)" if shown.strip() else "at its end"
        super().__init__(f"{place}: {what}.", remedy)
