"""The claim of a run to an output folder: created before the first part, checked while the run works, and released."""

from collections.abc import Mapping
from typing import Any

from jaxbatch.errors import ClaimedByAnother, OutputError, OutputTaken
from jaxbatch.failpoints import crash_point
from jaxbatch.output import in_flight, ownership
from jaxbatch.output.differences import differences
from jaxbatch.output.paths import DATA, PARTIALS, SINGLE_RUN, SUCCESS, RunPaths, is_part_of, is_record, numbered, run_of
from jaxbatch.output.records import ClaimRecord
from jaxbatch.storage import Store


class Claim:
    """What makes a folder a run's own: its plan.json."""

    def __init__(self, store: Store, fingerprint: str, paths: RunPaths = SINGLE_RUN):
        self.store = store
        self.fingerprint = fingerprint
        self.paths = paths

    def check(self, identity: Mapping[str, Any]) -> None:
        """Refuse a folder that belongs to another run or holds something else; changes nothing.

        Raises:
            OutputError: with the difference between that run's identity and this one.
        """
        names = ownership.list_owned(self.store)
        if self.paths == SINGLE_RUN and (runs := numbered(names)):
            raise OutputError(
                f'{self.store.url} holds {len(runs)} appended runs, but this job is not in mode "append".',
                'Set mode = "append" in [output], choose another path, or delete everything there with --restart.',
            )
        try:
            owner = ClaimRecord.read(self.store, self.paths)
        except FileNotFoundError:
            if self.paths == SINGLE_RUN:
                ownership.check_no_orphans(self.store, names, self.fingerprint)
            return
        if owner.fingerprint != self.fingerprint:
            changed = "; ".join(differences(owner.identity, identity)) or "its identity differs"
            raise ClaimedByAnother(
                f"{self.store.url} belongs to another run: {changed}.",
                "Choose another [output] path, or delete that run's output with --restart.",
            )

    def is_held(self) -> bool:
        """Whether the folder says that it is this run's."""
        try:
            self.check_owner()
        except OutputTaken:
            return False
        return True

    def check_owner(self) -> None:
        """See that the folder still belongs to this run.

        Raises:
            OutputTaken: it belongs to another.
        """
        ownership.check_owner(self.store, self.fingerprint, self.paths)

    def write(self, record: ClaimRecord) -> bool:
        """Claim the folder, before the first part. Returns whether it was unclaimed.

        Raises:
            ClaimedByAnother: it is another run's, with the difference shown.
        """
        new = self.store.create(self.paths.plan, record.to_json())
        if not new:
            self.check(record.identity)
        crash_point("claimed")
        return new

    def take_over(self, record: ClaimRecord) -> None:
        """Make the folder this run's, even if it is another's, and remove what is not of this run.

        Two processes that do so for one run write the same, and what one removes of the other's is made again.

        Raises:
            OutputError: there is something that is not jaxbatch's.
        """
        names = ownership.list_owned(self.store)
        self.store.delete(SUCCESS)
        self.store.replace(self.paths.plan, record.to_json())
        crash_point("claimed")
        for name in names:
            of_another = run_of(name) not in (None, self.fingerprint[:8])
            if of_another or (is_record(name) and name != self.paths.plan):
                self.store.delete(name)

    def withdraw(self) -> None:
        """Take the claim back, unless somebody has begun to work on it. A number is never given to another run."""
        names = {name for name, _ in self.store.list()}
        if self.paths.manifest in names or any(self._is_work(name) for name in names):
            return
        if self.paths == SINGLE_RUN:
            self.store.delete(self.paths.plan)
        else:
            ownership.tombstone(self.store, self.paths)

    def _is_work(self, name: str) -> bool:
        return in_flight.run_of(name) == self.fingerprint[:8] or run_of(name) == self.fingerprint[:8]

    def restart(self) -> None:
        """Remove all that jaxbatch wrote here: the success marker first, then the records, and the parts last.

        Raises:
            OutputError: there are other things too.
        """
        names = ownership.list_owned(self.store)
        for name in sorted(
            names, key=lambda name: (name != SUCCESS, name.startswith("data/"), name == SINGLE_RUN.plan)
        ):
            self.store.delete(name)

    def remove_parts(self) -> None:
        """Remove this run's parts from a folder that another run has taken."""
        for folder in (DATA, PARTIALS):
            for name, _ in list(self.store.list(folder)):
                if is_part_of(name, self.fingerprint, folder):
                    self.store.delete(name)
