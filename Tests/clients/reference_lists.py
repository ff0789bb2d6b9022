"""CountProfiles and ListProfiles of the service, compared with the model and the reference evaluation of filters."""

import random
import re
import time

from conftest import profiles_pb2 as rpc
from reference_compare import CLOCK_SLACK, TIMEOUT_SECONDS, expect, normal_profile
from reference_filter import matches
from reference_profile import show
from reference_triggers import random_filter, subject_of

FILTERS = 8
# What a list does not know, and what depends on the second of the call.
LEFT_OUT = re.compile(r'\bevent\.|"[-+]\d+s"')


class ListComparisons:
    """The part of a run that counts and lists by random filters."""

    def compare_lists(self):
        chance = random.Random(f"{self.prefix}{self.project}")
        people = {
            profile.id: subject_of(self.model, profile, None, profile.updated, profile.seen)
            for profile in self.model.profiles.values()
        }
        self.compare_list("", sorted(people), 1 + chance.randrange(20))
        for _ in range(FILTERS):
            text = random_filter(chance).replace("{prefix}", self.prefix)
            if LEFT_OUT.search(text):
                continue
            now = time.time_ns() // 1_000
            expected = [
                sorted(name for name, subject in people.items() if matches(text, subject, at))
                for at in (now - CLOCK_SLACK, now, now + CLOCK_SLACK)
            ]
            if expected[0] == expected[1] == expected[2]:
                self.compare_list(text, expected[0], 1 + chance.randrange(20))
                self.seen.update(["listed"] if expected[0] else ["listed nobody"])

    def compare_list(self, text, expected, page_size):
        count = self.service.stub.CountProfiles(
            rpc.CountProfilesRequest(project=self.project, filter=text), timeout=TIMEOUT_SECONDS
        )
        expect(count.count == len(expected), f"CountProfiles {text}", len(expected), count.count)
        found, token = [], ""
        while True:
            page = self.service.stub.ListProfiles(
                rpc.ListProfilesRequest(project=self.project, filter=text, page_size=page_size, page_token=token),
                timeout=TIMEOUT_SECONDS,
            )
            expect(len(page.profiles) <= page_size, f"page of {text}", page_size, len(page.profiles))
            found += page.profiles
            token = page.next_page_token
            if not token:
                break
        names = sorted(profile.profile_id for profile in found)
        expect(names == expected, f"ListProfiles {text}", expected, names)
        for theirs in found:
            mine = normal_profile(show(self.model.profiles[theirs.profile_id]))
            expect(mine == normal_profile(theirs), f"ListProfiles {theirs.profile_id}", mine, theirs)
