"""``python -m cmpc`` is ``cmpc``."""

import sys

from cmpc.cli import main

sys.exit(main())
