# SPDX-License-Identifier: Apache-2.0
"""`python -m bifrost.cli`, for environments without the command on their PATH."""

from bifrost.cli.main import main

if __name__ == "__main__":
    main()
