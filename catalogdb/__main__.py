"""``python -m catalogdb``."""

from __future__ import annotations

import sys

from catalogdb.cli.main import main

sys.exit(main())
