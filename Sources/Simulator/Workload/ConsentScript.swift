import IOSimulation
import ProfileClient

/// Consent of people whose calls have one owner, who knows of every opt-out whether something that
/// may has undone it: channels and topics, double opt-in, one-click tokens, machines that try to
/// subscribe, merges of a device's consent, suppressions.
final class ConsentScript: CallScript {
    static let people = 2
    private static let channels = ["email", "sms", "push"]

    private let client: Int
    private let project: Int
    private var number = 0
    private var index = 0
    /// By person: whether it has an address, tokens, and profile ids that led to it.
    private var isKnown = [Bool](repeating: false, count: ConsentScript.people)
    private var confirmations = [[String]](repeating: [], count: ConsentScript.people)
    private var unsubscribes = [[String]](repeating: [], count: ConsentScript.people)
    private var profiles = [[String]](repeating: [], count: ConsentScript.people)
    private var isSuppressed = [Bool?](repeating: false, count: ConsentScript.people)
    private var suppressing: Bool?

    init(client: Int, project: Int) {
        self.client = client
        self.project = project
    }

    static func name(_ client: Int, _ index: Int) -> String { "consent\(client)-\(index)" }
    static func address(_ client: Int, _ index: Int) -> String { "c\(client)-\(index)@example.com" }

    private var person: PersonKey {
        PersonKey(self.project, Self.name(self.client, self.index))
    }
    private var deviceName: String { "consent\(self.client)-\(self.index)-device" }

    func next(_ random: inout SeededRandom, _ world: any ClientWorld) -> PlannedCall? {
        self.number += 1
        self.index = random.below(Self.people)
        self.suppressing = nil
        guard self.isKnown[self.index] else { return self.login(withDevice: false) }
        switch random.below(24) {
        case 0 ..< 9: return self.update(&random)
        case 9: return self.confirm(&random)
        case 10: return self.token(&random)
        case 11: return self.redeem(&random)
        case 12: return self.login(withDevice: true)
        case 13: return self.call("DetachInstallation", ["installation_id": .string(deviceName)])
        case 14: return self.suppress(random.below(2) == 0)
        case 15 ..< 18: return self.check(&random)
        case 18: return self.history()
        case 19:
            return PlannedCall(
                "VerifyConsentLedger", self.project, Requests.about(self.person),
                .readConsent(self.person))
        default: return self.read(&random)
        }
    }

    private func call(
        _ method: String, _ request: JSONValue, _ purpose: Purpose? = nil
    ) -> PlannedCall {
        let id = "c\(self.client)-\(self.number)"
        return PlannedCall(
            method, self.project, Requests.whole(request, self.project, id),
            purpose ?? .consent(self.person), repeated: true)
    }

    // MARK: Writes

    private func login(withDevice: Bool) -> PlannedCall {
        let request: JSONValue = [
            "custom_id": .string(self.person.name),
            "attributes": [
                "native": ["email_address": .string(Self.address(self.client, self.index))]
            ],
        ]
        let device = withDevice ? JSONValue.string(self.deviceName) : nil
        return self.call("Identify", request.adding([("installation_id", device)]))
    }

    private func update(_ random: inout SeededRandom) -> PlannedCall {
        let changes = (0 ... random.below(2)).map { _ in
            JSONValue.object(of: [
                ("channel", .string(Self.channels[random.below(3)])),
                ("topic", random.below(2) == 0 ? "offers" : nil),
                (
                    "state",
                    .string(["subscribed", "unsubscribed", "unset"][min(2, random.below(5) / 2)])
                ),
            ])
        }
        let source = ["user", "api", "user", "api", "preference_center", "support"]
        let isOfDevice = random.below(4) == 0
        let request: JSONValue = [
            "identifier": isOfDevice
                ? Requests.device(self.deviceName) : Requests.custom(self.person.name),
            "source": .string(source[random.below(source.count)]), "changes": .array(changes),
            "evidence": [
                "method": .string(Projects.marker(self.project)),
                "reference": .string(random.below(2) == 0 ? "case-\(self.number)" : ""),
            ],
        ]
        return self.call("UpdateSubscription", request)
    }

    private func confirm(_ random: inout SeededRandom) -> PlannedCall? {
        let tokens = self.confirmations[self.index]
        guard !tokens.isEmpty else { return nil }
        return self.call(
            "ConfirmSubscription", ["token": .string(tokens[random.below(tokens.count)])])
    }

    private func token(_ random: inout SeededRandom) -> PlannedCall {
        let topic: JSONValue? = random.below(2) == 0 ? "offers" : nil
        let request = Requests.about(self.person).adding([("channel", "email"), ("topic", topic)])
        return PlannedCall("CreateUnsubscribeToken", self.project, request)
    }

    private func redeem(_ random: inout SeededRandom) -> PlannedCall? {
        let tokens = self.unsubscribes[self.index]
        guard !tokens.isEmpty else { return nil }
        return self.call(
            "RedeemUnsubscribeToken", ["token": .string(tokens[random.below(tokens.count)])])
    }

    /// A bounce of the address: until it is removed nothing may be sent there.
    private func suppress(_ isAdded: Bool) -> PlannedCall {
        self.suppressing = isAdded
        let request: JSONValue = [
            "channel": "email", "address": .string(Self.address(self.client, self.index)),
            "reason": "hard_bounce",
        ]
        return self.call(isAdded ? "AddSuppression" : "RemoveSuppression", request, .expect([0]))
    }

    // MARK: Reads

    private func read(_ random: inout SeededRandom) -> PlannedCall {
        let profiles = self.profiles[self.index]
        let identifier =
            random.below(2) == 0 && !profiles.isEmpty
            ? Requests.profile(profiles[random.below(profiles.count)])
            : Requests.custom(self.person.name)
        let request: JSONValue = [
            "project": Requests.project(self.project), "identifier": identifier,
        ]
        return PlannedCall("GetProfile", self.project, request, .readConsent(self.person))
    }

    private func check(_ random: inout SeededRandom) -> PlannedCall {
        let isMarketing = random.below(2) == 0
        let request = Requests.about(self.person).adding([
            ("channel", "email"), ("message_class", isMarketing ? "marketing" : "transactional"),
        ])
        return PlannedCall(
            "CheckSendable", self.project, request,
            .sendable(self.person, isSuppressed: self.isSuppressed[self.index]))
    }

    private func history() -> PlannedCall {
        PlannedCall(
            "ListConsentHistory", self.project,
            Requests.about(self.person).adding([("page_size", 1_000)]), .readConsent(self.person))
    }

    // MARK: Responses

    func ended(_ operation: Operation, _ outcome: Outcome, _ response: JSONValue?) {
        if let suppressing = self.suppressing {
            // Not known any more until one of the two is settled.
            self.isSuppressed[self.index] = outcome == .ok ? suppressing : nil
        }
        guard let response else { return }
        if operation.method == "Identify" { self.isKnown[self.index] = true }
        let profile = response["profile_id"] ?? response["profile"]?["profile_id"]
        if operation.method != "DetachInstallation", let id = profile?.text {
            Self.keep(id, in: &self.profiles[self.index])
        }
        for result in response["results"]?.items ?? [] {
            if let token = result["confirmation_token"]?.text, !token.isEmpty {
                Self.keep(token, in: &self.confirmations[self.index])
            }
        }
        if operation.method == "CreateUnsubscribeToken", let token = response["token"]?.text {
            Self.keep(token, in: &self.unsubscribes[self.index])
        }
    }

    /// Remembers the last few.
    private static func keep(_ text: String, in list: inout [String]) {
        guard !list.contains(text) else { return }
        if list.count == 4 { list.removeFirst() }
        list.append(text)
    }
}
