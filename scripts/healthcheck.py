"""The server of this container -> exit status 0 if it says that it is ready; else 1 and why."""

import os
import sys
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

TIMEOUT_S = 3


def complaint() -> str | None:
    """Return why /readyz is not well, None if it is."""
    port = int(os.environ.get("CLOZE_PORT", "8080"))
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"/readyz did not answer: {error}"
    return None if status == HTTPStatus.OK else f"/readyz answered {status}, expected 200"


if __name__ == "__main__":
    sys.exit(complaint())
