import IOSimulation
import ProfileClient

/// What is there before the first client of the workload comes: projects with their options, and a
/// trigger for each.
final class Preparation {
    /// Index of the next call.
    fileprivate var step = 0
    /// Ids of the triggers, by project; empty until they are made.
    fileprivate(set) var triggers = [String](repeating: "", count: Projects.count)
    var isDone: Bool { self.step >= 2 * Projects.count }
}

/// An operator: makes the projects, then does what operators do at any time: snapshots, backups,
/// statistics, projects that come and go.
final class OperatorScript: CallScript {
    private let preparation: Preparation
    private var number = 0
    /// A project that is made, deleted and left: its name and how far it is.
    private var passing: (name: String, step: Int) = ("passing-0", 0)

    init(_ preparation: Preparation) {
        self.preparation = preparation
    }

    var isBusy: Bool { !self.preparation.isDone }

    func next(_ random: inout SeededRandom, _ world: any ClientWorld) -> PlannedCall? {
        self.number += 1
        if !self.preparation.isDone { return self.prepare(self.preparation.step) }
        let project = random.below(Projects.count)
        let named: JSONValue = ["project": Requests.project(project)]
        switch random.below(20) {
        case 0 ..< 3: return PlannedCall("Admin.CreateSnapshot", -1, [:])
        case 3:
            return PlannedCall("Admin.Backup", -1, ["destination": "/backup-\(self.number)"])
        case 4: return PlannedCall("Admin.GetProject", -1, named, .expect([0]))
        case 5: return PlannedCall("Admin.ListProjects", -1, [:], .expect([0]))
        case 6 ..< 9: return PlannedCall("Admin.GetStats", project, named, .expect([0]))
        case 9: return self.update(project)
        case 10, 11: return PlannedCall("Health.Check", -1, [:])
        case 12: return PlannedCall("ListTriggers", project, named, .expect([0]))
        case 13, 14: return self.trigger(project)
        default: return self.pass()
        }
    }

    private func prepare(_ step: Int) -> PlannedCall {
        let index = step / 2
        if step % 2 == 0 {
            let request: JSONValue = [
                "project": Requests.project(index), "request_id": "prepare-\(index)",
                "options": ["double_opt_in": ["sms"]],
            ]
            return PlannedCall("Admin.CreateProject", -1, request, .expect([0]), repeated: true)
        }
        let request: JSONValue = [
            "project": Requests.project(index), "request_id": "trigger",
            "trigger": ["event_name": "visit", "ack_deadline_seconds": 10],
        ]
        return PlannedCall("CreateTrigger", index, request, .expect([0]), repeated: true)
    }

    private func update(_ project: Int) -> PlannedCall {
        let request: JSONValue = [
            "project": Requests.project(project), "update_mask": "double_opt_in",
            "options": ["double_opt_in": ["sms"]],
        ]
        return PlannedCall("Admin.UpdateProject", -1, request, .expect([0]))
    }

    /// A trigger that is made and deleted, with firings that wait and nobody takes.
    private var passingTrigger: (project: Int, id: String)?

    private func trigger(_ project: Int) -> PlannedCall {
        if let (project, id) = self.passingTrigger {
            let request: JSONValue = [
                "project": Requests.project(project), "trigger_id": .string(id),
            ]
            return PlannedCall("DeleteTrigger", project, request, .expect([0, 5]), repeated: true)
        }
        let request: JSONValue = [
            "project": Requests.project(project), "request_id": "trigger-\(self.number)",
            "trigger": [
                "event_name": "note", "delay_seconds": 1, "unless_event_name": "visit",
                "filter": "event.text:*",
            ],
        ]
        return PlannedCall("CreateTrigger", project, request, .expect([0]), repeated: true)
    }

    private func pass() -> PlannedCall {
        let name = JSONValue.string(self.passing.name)
        switch self.passing.step {
        case 0:
            return PlannedCall(
                "Admin.CreateProject", -1, ["project": name], .expect([0]), repeated: true)
        case 1:
            let unit: JSONValue = [
                "project": name, "custom_id": "somebody", "attributes": ["set": ["n": 1]],
            ]
            return PlannedCall("Identify", -1, unit, .expect([0]), repeated: true)
        case 2, 4:
            return PlannedCall(
                "Admin.DeleteProject", -1, ["project": name], .expect([0]), repeated: true)
        case 3:
            return PlannedCall(
                "Admin.DeleteProject", -1, ["project": name, "undo": true], .expect([0]),
                repeated: true)
        default:
            let request: JSONValue = ["project": name, "identifier": Requests.custom("somebody")]
            return PlannedCall("GetProfile", -1, request, .expect([5, 9]))
        }
    }

    func ended(_ operation: Operation, _ outcome: Outcome, _ response: JSONValue?) {
        if !self.preparation.isDone {
            guard outcome == .ok else { return }
            if let trigger = response?["trigger"]?["trigger_id"]?.text {
                self.preparation.triggers[operation.project] = trigger
            }
            self.preparation.step += 1
            return
        }
        switch operation.method {
        case "CreateTrigger":
            self.passingTrigger = (response?["trigger"]?["trigger_id"]?.text).map {
                (operation.project, $0)
            }
        case "DeleteTrigger": self.passingTrigger = nil
        case "Admin.CreateProject", "Admin.DeleteProject", "Identify", "GetProfile":
            self.passing.step += 1
            if self.passing.step > 5 { self.passing = ("passing-\(self.number)", 0) }
        default: break
        }
    }
}

/// Keys that are made, used where they may be and where they may not, and revoked.
final class KeyScript: CallScript {
    private let project: Int
    private var number = 0
    private var step = 0
    private var key: (id: String, text: String)?

    init(project: Int) {
        self.project = project
    }

    func next(_ random: inout SeededRandom, _ world: any ClientWorld) -> PlannedCall? {
        let named: JSONValue = ["project": Requests.project(self.project)]
        if self.key == nil { self.step = 0 }
        switch self.step {
        case 0:
            self.number += 1
            let request = named.adding([
                ("scopes", ["read"]), ("request_id", "key-\(self.number)"),
            ])
            return PlannedCall("Admin.CreateKey", self.project, request, repeated: true)
        case 1: return self.read(self.project, [0, 5])
        case 2: return self.read((self.project + 1) % Projects.count, [7])
        case 3:
            var call = PlannedCall("Admin.ListKeys", self.project, named, .expect([7]))
            call.key = self.key?.text
            return call
        case 4: return PlannedCall("Admin.ListKeys", self.project, named, .expect([0]))
        case 5:
            let request = named.adding([("key_id", .string(self.key?.id ?? ""))])
            return PlannedCall(
                "Admin.RevokeKey", self.project, request, .expect([0]), repeated: true)
        default: return self.read(self.project, [16])
        }
    }

    private func read(_ project: Int, _ statuses: [Int32]) -> PlannedCall {
        var call = PlannedCall(
            "GetProfile", project, Requests.about(SoloScript.person(0, 0, project)),
            .expect(statuses))
        call.key = self.key?.text
        return call
    }

    func ended(_ operation: Operation, _ outcome: Outcome, _ response: JSONValue?) {
        if operation.method == "Admin.CreateKey" {
            guard let id = response?["key_id"]?.text else { return }
            // The secret is shown once: a response that was lost has taken it along.
            self.key = (id, response?["key"]?.text ?? "")
            self.step = self.key?.text.isEmpty == true ? 5 : 1
            return
        }
        if operation.method == "Admin.RevokeKey", outcome != .ok { return }
        self.step += 1
        if self.step > 6 || self.key?.text.isEmpty == true { self.key = nil }
    }
}
