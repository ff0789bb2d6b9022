"""The projects of a run in the reference model: which exist, what they were told, and a model of what each holds.

Nothing of one project is in another: each has a `Model` of its own. Whoever names one is told in the order of the
contract: what is wrong with the request, that there is no such project, that it is being deleted, and then the rest.
"""

from dataclasses import dataclass, field

from conftest import types_pb2 as types
from google.protobuf import field_mask_pb2
from profiles.v1 import admin_pb2 as admin
from reference_attributes import Rejected
from reference_model import Model
from reference_profile import SECOND, same_message, timestamp

DAY_SECONDS = 86_400
OPTIONS = [options.name for options in admin.ProjectOptions.DESCRIPTOR.fields]
METHODS = ("CreateProject", "UpdateProject", "DeleteProject")


def in_force(options):
    """Options with the numbers that the defaults stand for."""
    shown = admin.ProjectOptions.FromString(options.SerializeToString())
    shown.merge_policy = shown.merge_policy or types.MERGE_POLICY_SURVIVOR_WINS
    shown.event_retention_days = shown.event_retention_days or 90
    shown.events_per_profile_max = shown.events_per_profile_max or 1_000
    retention = shown.event_retention_days * DAY_SECONDS
    shown.late_window_seconds = min(shown.late_window_seconds or DAY_SECONDS, retention)
    return shown


def check(options):
    """Whether options go together: what is given may not be later than what is kept."""
    if options.late_window_seconds > (options.event_retention_days or 90) * DAY_SECONDS:
        raise Rejected("INVALID_ARGUMENT", "INVALID_FIELDS")


def merged(options, given, paths):
    """Options of which some are set."""
    result = admin.ProjectOptions.FromString(options.SerializeToString())
    mask = field_mask_pb2.FieldMask(paths=paths or OPTIONS)
    mask.MergeMessage(given, result, replace_repeated_field=True)
    for path in mask.paths:
        if path != "double_opt_in":
            setattr(result, path, getattr(given, path))
    return result


@dataclass
class Project:
    """One project; it need not have been made yet."""

    model: Model = field(default_factory=Model)
    exists: bool = False
    options: admin.ProjectOptions = field(default_factory=admin.ProjectOptions)
    # Times in microseconds; 0: it is not being deleted.
    created: int = 0
    due: int = 0
    revision: int = 1

    def tell(self, options):
        self.options, shown = options, in_force(options)
        self.model.late_window = shown.late_window_seconds * SECOND
        self.model.retention = shown.event_retention_days * DAY_SECONDS * SECOND
        self.model.events_max = shown.events_per_profile_max
        self.model.latest_wins = shown.merge_policy == types.MERGE_POLICY_LATEST_WINS
        self.model.topics_by_default = not shown.topic_default_unsubscribed


class Projects:
    def __init__(self, names, delay_seconds):
        """`default`, which exists from the beginning, and `names`, which do not."""
        self.all = {name: Project() for name in names}
        self.all["default"] = Project(exists=True)
        self.requests = {}  # request id of a CreateProject -> (request, response)
        self.delay = delay_seconds

    def check_reach(self, name, is_deletion=False, is_undo=False):
        project = self.all[name]
        if not project.exists:
            raise Rejected("NOT_FOUND", "PROJECT_NOT_FOUND")
        # Without a delay the deletion is due at once and cannot be undone; it can always be repeated.
        if project.due and not (is_deletion and (self.delay or not is_undo)):
            raise Rejected("FAILED_PRECONDITION", "PROJECT_DELETED")
        return project

    def call(self, method, request, learned):
        """The response to a call, or Rejected; a rejected call changes nothing."""
        if method == "CreateProject":
            check(request.options)
            return self.remembered(self.requests, request.request_id, request, lambda: self.create(request, learned))
        if method == "UpdateProject":
            paths = request.update_mask.paths
            if not paths or {"late_window_seconds", "event_retention_days"} <= set(paths):
                check(request.options)
        is_deletion = method == "DeleteProject"
        project = self.check_reach(request.project, is_deletion, is_deletion and request.undo)
        if method not in METHODS:
            return project.model.call(method, request, learned)
        change = self.update if method == "UpdateProject" else self.delete
        key = request.request_id and (method, request.request_id)
        # From the due time on the server forgets the request ids at some time: its response tells.
        if project.due and not self.delay and learned.due:
            key = ""
        return self.remembered(project.model.requests, key, request, lambda: change(project, request, learned))

    @staticmethod
    def remembered(requests, key, request, make):
        if key in requests:
            if not same_message(requests[key][0], request):
                raise Rejected("ALREADY_EXISTS", "REQUEST_ID_REUSED")
            return requests[key][1]
        response = make()
        if key:
            requests[key] = (request, response)
        return response

    def create(self, request, learned):
        project = self.all[request.project]
        if project.exists:
            if project.due:
                raise Rejected("FAILED_PRECONDITION", "PROJECT_DELETED")
            if in_force(project.options) != in_force(request.options):
                raise Rejected("ALREADY_EXISTS", "PROJECT_EXISTS")
        else:
            project.exists, project.created = True, learned.created
            project.tell(request.options)
        return self.show(request.project)

    def update(self, project, request, learned):
        options = merged(project.options, request.options, request.update_mask.paths)
        check(options)
        project.revision += in_force(options) != in_force(project.options)
        project.tell(options)
        return self.show(request.project)

    def delete(self, project, request, learned):
        if request.undo == bool(project.due):
            project.due = 0 if request.undo else learned.due
            project.revision += 1
        response = admin.DeleteProjectResponse()
        if project.due:
            timestamp(project.due, response.delete_due)
        return response

    def show(self, name):
        project = self.all[name]
        response = admin.Project(project=name, options=in_force(project.options), revision=project.revision)
        if project.created:
            timestamp(project.created, response.created_at)
        if project.due:
            timestamp(project.due, response.delete_due)
        return response
