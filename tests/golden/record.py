"""Records the golden digests anew: ``python -m tests.golden.record``, some minutes.

Do so only where other bytes are meant: a kernel that gives better digits, a format that changes, other versions in
constraints.txt. Then CHANGELOG.md gets a line that says which outputs are others now, and digests.json goes into the
same commit. Never to make a refactoring pass: that is what the digests are there to catch.

Every job is run on both engines, which must give the same. What has changed is printed.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests.golden import compute


def main() -> None:
    """Run everything, and overwrite digests.json."""
    with tempfile.TemporaryDirectory() as folder:
        machine = compute.machine(Path(folder) / "machine")
        found = compute.computed("local", compute.JOBS, Path(folder) / "local")
        if found != compute.computed("ray", compute.JOBS, Path(folder) / "ray"):
            sys.exit("The engines give different bytes: nothing is recorded.")
    before = compute.recorded() if compute.DIGESTS.exists() else {"machine": machine, "contents": {}}
    new = {"machine": machine, "contents": found}
    compute.DIGESTS.write_text(json.dumps(new, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if before["machine"] != machine:
        print("The machine or the versions are others.")
    was = before["contents"]
    changed = [job for job in {**was, **found} if was.get(job) != found.get(job)]
    print(f"{', '.join(changed) or 'Nothing'} changed.")


if __name__ == "__main__":
    main()
