"""Compares exports with the reference model."""

import reference_consent as consent_of
from conftest import profiles_pb2 as rpc, types_pb2 as types
from export_replica import groups
from reference_compare import TIMEOUT_SECONDS, expect, normal_profile
from reference_profile import show

ADDRESSES = {1: "email_address", 2: "phone_number"}
# The order of the parts of one person.
PARTS = ("profile", "event", "consent_entry", "suppression")


class ExportComparisons:
    """The part of a run that exports."""

    def compare_export(self, identifier, profile):
        request = rpc.ExportProfileRequest(project=self.project, identifier=identifier)
        parts = list(self.service.stub.ExportProfile(request, timeout=TIMEOUT_SECONDS))
        self.compare_person(parts, profile, f"ExportProfile {str(identifier).strip()}")
        redirected = self.model.redirected(identifier)
        found = [part.redirected_from for part in parts]
        expect(found == [redirected] + [""] * (len(parts) - 1), "redirected_from of parts", redirected, found)
        expect(not any(part.page_token for part in parts), "page tokens of a person", [], parts)

    def compare_project_export(self):
        """Everyone, once; and the rest behind the token of one of them."""
        stub, request = self.service.stub, rpc.ExportProjectRequest(project=self.project)
        parts = list(stub.ExportProject(request, timeout=TIMEOUT_SECONDS))
        if not self.model.profiles:
            return expect([part.WhichOneof("part") for part in parts] == [None], "an export of nobody", 1, parts)
        people = list(groups(parts))
        expect(parts[-1].page_token != "", "a page token on the last part", "one", parts[-1])
        mine, found = sorted(self.model.profiles), sorted(person[0].profile.profile_id for person in people)
        # Of `default` this run knows only its own people.
        expect(set(mine) <= set(found) if self.project == "default" else mine == found, "people", mine, found)
        expect(len(set(found)) == len(found), "people once", len(set(found)), len(found))
        for person in people:
            profile = self.model.profiles.get(person[0].profile.profile_id)
            if profile:
                self.compare_person(person, profile, f"ExportProject {profile.id}")
        if self.project == "default":
            return None
        half = len(people) // 2
        request.page_token = people[half][-1].page_token
        rest = list(stub.ExportProject(request, timeout=TIMEOUT_SECONDS))
        ids = [part.profile.profile_id for part in rest if part.HasField("profile")]
        mine = [person[0].profile.profile_id for person in people[half + 1 :]]
        return expect(ids == mine, "people behind a page token", mine, ids)

    def compare_person(self, parts, profile, what):
        kinds = [part.WhichOneof("part") for part in parts]
        order = sorted(kinds, key=PARTS.index)
        expect(kinds == order and kinds.count("profile") == 1, f"parts of {what}", order, kinds)
        expect(len({part.lsn for part in parts}) == 1, f"one lsn of {what}", 1, {part.lsn for part in parts})
        found = parts[0].profile
        self.compare_metadata(profile, found.attribute_metadata)
        found.ClearField("attribute_metadata")
        mine, theirs = normal_profile(show(profile)), normal_profile(found)
        expect(mine == theirs, what, mine, theirs)
        events = [part.event for part in parts if part.HasField("event")]
        mine = [event for _, event in profile.events]
        expect(mine == events, f"events of {what}", mine, events)
        self.compare_entries([part.consent_entry for part in parts if part.HasField("consent_entry")], profile, what)
        mine = [
            rpc.SuppressionRecord(channel=channel, address=attribute.scalar, reasons=sorted(reasons))
            for channel, name in ADDRESSES.items()
            if (attribute := profile.attributes.get(name)) and attribute.scalar
            if (reasons := self.model.suppressed.get((channel, attribute.scalar.lower())))
        ]
        suppressions = [part.suppression for part in parts if part.HasField("suppression")]
        expect(mine == suppressions, f"suppressions of {what}", mine, suppressions)

    @staticmethod
    def compare_entries(found, profile, what):
        lsns = [entry.lsn for entry in found]
        expect(lsns == sorted(lsns), f"order of the entries of {what}", sorted(lsns), lsns)
        ledgers = {ledger[0].profile_id: ledger for ledger in [profile.ledger, *profile.merged_ledgers] if ledger}
        expect(
            {entry.profile_id for entry in found} == set(ledgers),
            f"ledgers of {what}",
            sorted(ledgers),
            sorted({entry.profile_id for entry in found}),
        )
        for profile_id, ledger in ledgers.items():
            mine = [entry for entry in found if entry.profile_id == profile_id]
            expect(mine == ledger, f"ledger of {what}", ledger, mine)
            head = bytes(32)
            for entry in mine:
                again = types.ConsentEntry.FromString(entry.SerializeToString())
                head = consent_of.chain(again, head)
                expect(again == entry, f"chain of {what}", again, entry)
