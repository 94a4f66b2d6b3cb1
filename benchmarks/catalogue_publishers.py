# SPDX-License-Identifier: Apache-2.0
"""
Publishes for some seconds, beside others that do the same.

Run by `catalogue_together`, as a process: reads a line of arguments, prints `ready`, reads the time to
begin; then prints how often it published which asset, what failed, and when it was done.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter

from catalogue_figures import publication

from bifrost.catalogue import Catalogue
from bifrost.errors import BifrostError


def main() -> None:
    """Publish in turns an asset of one's own and one that the others publish, too."""
    given = json.loads(sys.stdin.readline())
    published, errors = Counter[str](), []
    with Catalogue.open(given["url"]) as catalogue:
        # The first statement of a connection costs more than the others.
        catalogue.publish([publication(given["own"], 0)])
        print("ready", flush=True)
        start = float(sys.stdin.readline())
        time.sleep(max(0.0, start - time.time()))
        number = 0
        while time.time() < start + given["seconds"]:
            number += 1
            target = given["own"] if number % 2 else given["shared"][number % len(given["shared"])]
            content = publication(target, number)._replace(
                checksum=f"{given['own']} {number}"  # never what somebody else just published
            )
            try:
                [record] = catalogue.publish([content])
            except BifrostError as error:
                errors.append(str(error))
            else:
                published[target] += record.is_new
        took = time.time() - start
    print(json.dumps({"published": published, "errors": errors, "took": took}))


if __name__ == "__main__":
    main()
