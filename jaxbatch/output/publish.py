"""Publishing a part: once, and whole."""

from jaxbatch.errors import OutputError
from jaxbatch.output.receipt import Receipt
from jaxbatch.storage import Store


def publish(store: Store, data: "bytes | memoryview", receipt: Receipt) -> None:
    """Publish a part if absent. If there is one of that name already, it must hold the same bytes.

    So it may be done twice, as by a call that Ray makes again after a lost reply.

    Raises:
        OutputError: the part of that name holds other bytes.
    """
    while not store.create(receipt.name, data):
        try:
            published = store.read(receipt.name)
        except FileNotFoundError:
            continue  # it was removed in between, by a restart or a recovery
        if published == data:
            return
        raise OutputError(
            f"{store.url}/{receipt.name} already exists with other contents.",
            "It was altered, or this run is not reproducible: is the function pure?",
        )
