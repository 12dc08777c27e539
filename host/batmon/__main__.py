"""`python -m batmon` is the `batmon` command."""

import sys

from batmon.cli import main

sys.exit(main())
