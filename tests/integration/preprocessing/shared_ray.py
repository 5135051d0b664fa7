"""A Ray as the service makes itself one, for whoever is told its address and token; ends when its input ends."""

import json
import os
import sys

from ropewalk.preprocessing.adapters.workers import Workers


def main() -> None:
    with Workers("", 2):
        import ray  # after the environment, as in `Workers`

        place = {"address": ray.get_runtime_context().gcs_address, "token": os.environ["RAY_AUTH_TOKEN"]}
        print(json.dumps(place), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
