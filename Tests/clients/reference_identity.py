"""The property of un-merges, without the model: a merge that is undone at once leaves both profiles as they were."""

from conftest import profiles_pb2 as rpc, types_pb2 as types
from reference_compare import TIMEOUT_SECONDS, expect, normal_profile

# What every change moves.
MOVED = ("revision", "lsn", "updated_at")


class IdentityComparisons:
    """The part of a run that merges and undoes it."""

    def parts_of(self, profile_id):
        """Everything of a person, and the entries of its ledgers."""
        request = rpc.ExportProfileRequest(
            project=self.project, identifier=types.Identifier(profile_id=profile_id)
        )
        parts, entries = [], []
        for part in self.service.stub.ExportProfile(request, timeout=TIMEOUT_SECONDS):
            part.lsn = 0
            if part.HasField("consent_entry"):
                entries.append(part.consent_entry)
                continue
            if part.HasField("profile"):
                normal_profile(part.profile)
                for name in MOVED:
                    part.profile.ClearField(name)
            parts.append(part)
        return parts, entries

    def merge_and_undo(self, operation, merge):
        """`merge` makes the merge; nothing comes between."""
        project = self.projects.all[self.project]
        if not project.exists or project.due:
            return merge()
        names = [self.requests.identifier(operation[side], self.first_ids) for side in ("loser", "survivor")]
        people = [profile.id for name in names if (profile := self.model.find(name))]
        before = {name: self.parts_of(name) for name in people}
        merges, dropped = len(self.model.merges), len(self.model.dropped)
        merge()
        if len(self.model.merges) == merges:
            return None
        made = list(self.model.merges.values())[-1]
        self.step({"do": "UnmergeProfile", "project": operation["project"], "merge": 0})
        if len(self.model.dropped) > dropped or made.left:
            # A full survivor has dropped events.
            return None
        self.seen["merged and undone at once"] += 1
        for name in people:
            (mine, entries), (theirs, more) = before[name], self.parts_of(name)
            expect(len(mine) == len(theirs), f"parts of {name} behind an un-merge", len(mine), len(theirs))
            for one, other in zip(mine, theirs):
                expect(one == other, f"{name} behind an un-merge", one, other)
            expect(more[: len(entries)] == entries, f"entries of {name} behind an un-merge", entries, more)
        return None
