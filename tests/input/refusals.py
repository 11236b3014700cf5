"""What an input that cannot be used is answered with."""

import pytest

from jaxbatch.errors import ExitCode, InputError


def refusal(call, *arguments) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)
