# SPDX-License-Identifier: MIT OR Apache-2.0
# Validates a file; KCIDB's package has no command that does it.
import json, sys
from kcidb_io.schema import LATEST
LATEST.validate(json.load(open(sys.argv[1])))
