"""``python -m jaxbatch``."""

from jaxbatch.cli import main

main()
