"""Whether a server responds."""

import threading
import urllib.error
import urllib.request


def responds(url: str, seconds: float) -> bool:
    """Whether a server, or a proxy, responds to a request in that time, with any status.

    The request runs in a thread, since no timeout limits the resolution of its name.
    """
    responded = threading.Event()

    def request() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=seconds).close()
        except urllib.error.HTTPError as error:  # a response as well
            error.close()
        except (OSError, ValueError):
            return
        responded.set()

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(seconds)
    return responded.is_set()
