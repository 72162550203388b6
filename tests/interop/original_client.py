"""A client of the original, in its own environment: `python original_client.py URL`.

Reads lines of JSON, `[what, s3_url, path]` with what `upload` or `download`, and answers each with a line: `ok`, or
what went wrong.
"""

import json
import sys

from deltaglider import create_client  # type: ignore[import-not-found]


def main() -> None:
    client = create_client(endpoint_url=sys.argv[1], log_level="CRITICAL")
    print("ready", flush=True)
    for line in sys.stdin:
        what, url, path = json.loads(line)
        try:
            if what == "upload":
                client.upload(path, url)
            else:
                client.download(url, path)
        except Exception as error:  # whatever it is, it is the answer
            print("failed:", repr(error).replace("\n", " ")[:200], flush=True)
        else:
            print("ok", flush=True)


main()
