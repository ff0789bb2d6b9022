import Bytes
import CMessages
import CProtobufC
import Profiles

// SAFETY: C messages are read where protobuf-c unpacked them, in the decoder's arena, and what is
// returned borrows from it: valid until the next `decode`. Counts (`n_...`) bound every array, and
// texts end with NUL, which the wire check allows nowhere inside.

// Fields that several requests about consent have; violations are noted at the packer's path.
extension MessageDecoder {
    /// `^[a-z0-9_]{1,300}$` after lower-casing, in bytes.
    static let topicBytesMax = 300
    /// Texts of an evidence, in scalars: a user agent is the longest.
    private static let evidenceScalarsMax = 512

    func channel(_ channel: Profiles__V1__Channel) -> Channel {
        if let channel = Channel(rawValue: UInt8(clamping: channel.rawValue)) { return channel }
        self.packer.add("not a channel of the contract", at: "channel")
        return .email
    }

    /// A topic in lower case, in the arena; empty: the whole channel.
    func topic(
        _ topic: UnsafePointer<CChar>?, at field: StaticString = "topic"
    ) -> UnsafeRawBufferPointer {
        let text = ValuePacker.text(topic)
        guard text.count <= Self.topicBytesMax,
            text.allSatisfy({ TextRules.isAlphanumeric($0) || $0 == UInt8(ascii: "_") })
        else {
            self.packer.add("a topic that does not match ^[a-z0-9_]{1,300}$", at: field)
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        guard text.count > 0 else { return text }
        let lower = self.arena.memory(text.count)
        for (index, byte) in text.enumerated() {
            lower.storeBytes(of: TextRules.lower(byte), toByteOffset: index, as: UInt8.self)
        }
        return UnsafeRawBufferPointer(start: lower, count: text.count)
    }

    /// Evidence as it was given; `nil`: none.
    func evidence(_ evidence: UnsafeMutablePointer<Profiles__V1__Evidence>?) -> EvidenceView? {
        guard let evidence = evidence?.pointee else { return nil }
        return EvidenceView(
            method: self.evidence(evidence.method, "evidence.method"),
            ip: self.evidence(evidence.ip, "evidence.ip"),
            userAgent: self.evidence(evidence.user_agent, "evidence.user_agent"),
            textVersion: self.evidence(evidence.text_version, "evidence.text_version"),
            actor: self.evidence(evidence.actor, "evidence.actor"),
            reference: self.evidence(evidence.reference, "evidence.reference"))
    }

    /// Bytes of the texts of an evidence.
    static func evidenceBytes(_ evidence: UnsafeMutablePointer<Profiles__V1__Evidence>?) -> Int {
        guard let evidence = evidence?.pointee else { return 0 }
        return [
            evidence.method, evidence.ip, evidence.user_agent, evidence.text_version,
            evidence.actor, evidence.reference,
        ].reduce(0) { $0 + ValuePacker.text($1).count }
    }

    private func evidence(_ string: UnsafePointer<CChar>?, _ field: StaticString)
        -> UnsafeRawBufferPointer
    {
        let text = ValuePacker.text(string)
        if !text.isEmpty,
            let error = TextRules.stringError(
                text, scalarsMax: Self.evidenceScalarsMax, oneLine: true)
        {
            self.packer.add(error, at: field)
        }
        return text
    }

    func token(_ string: UnsafePointer<CChar>?) -> UnsafeRawBufferPointer {
        let text = ValuePacker.text(string)
        if text.isEmpty { self.packer.add("missing", at: "token") }
        return text
    }
}
