"""A program that is started with closed descriptors."""

from __future__ import annotations

import subprocess
import sys


def test_what_is_opened_first_takes_the_place_of_no_closed_descriptor() -> None:
    script = (
        "import os\nfrom regiment.standard import open_standard\nopen_standard()\n"
        "import sys\nprint('unseen'); sys.stderr.write('unseen')\n"
        "number = os.open(os.devnull, os.O_RDONLY)\n"
        "os.write({out}, b'%d %s' % (number, str(os.get_inheritable(0)).encode()))"
    )
    for closed in ("<&- >&- 2>&-", "<&-", ">&- 2>&-"):
        line = f'exec "$0" -c "$1" 7>&1 {closed}'
        done = subprocess.run(
            ["sh", "-c", line, sys.executable, script.format(out=7)], capture_output=True, text=True, check=True
        )
        number, inheritable = done.stdout.replace("unseen", " ").split()
        assert int(number) > 2 and inheritable == "True"
