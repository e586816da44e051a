"""`python -m ritornello` is the command `ritornello`."""

import sys

from ritornello.cli.main import main

sys.exit(main())
