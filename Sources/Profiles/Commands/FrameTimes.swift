import Bytes

// What one frame says of time. Every call has a time of its own, later than that of the call before
// in the whole log, so that the order of the log decides ties even while the machine's clock stands
// still or is behind. How far a client's time may be from ours, and how old something is, follows
// the machine's clock: otherwise one write under a clock that ran ahead would have calls rejected,
// and data dropped, until the clock has caught up. Source: docs/decisions/0321-clock-behind.md.

/// The times of the calls of one frame.
package struct FrameTimes: Equatable, Sendable {
    /// Of the next call, in microseconds since 1970.
    package private(set) var receivedAt: Int64
    /// The machine's clock when the frame was appended, in microseconds since 1970; never after
    /// `receivedAt`.
    package let clock: Int64
    /// From one call to the next, in microseconds.
    private let spacing: Int64

    /// The times of a frame.
    ///
    /// - Parameters:
    ///   - receivedAt: Of its first call, in microseconds since 1970.
    ///   - clock: The machine's clock, as far as the frame records it; `nil`: it is `receivedAt`.
    ///   - rulesVersion: Of the frame.
    package init(receivedAt: Int64, clock: Int64?, rulesVersion: UInt32) {
        self.receivedAt = receivedAt
        self.clock = min(clock ?? receivedAt, receivedAt)
        self.spacing = Rules(version: rulesVersion).hasTimePerCall ? 1 : 0
    }

    /// The times that a leader gives to a frame: later than every call before it.
    ///
    /// - Parameters:
    ///   - last: Of the last call in the log, in microseconds since 1970.
    ///   - clock: What the machine's clock says.
    package init(after last: Int64, clock: Int64, rulesVersion: UInt32) {
        self.spacing = Rules(version: rulesVersion).hasTimePerCall ? 1 : 0
        self.receivedAt = max(clock, last + self.spacing)
        self.clock =
            self.receivedAt - clock < FrameClock.behindMicrosecondsMin ? self.receivedAt : clock
    }

    /// Goes on to the next call.
    package mutating func advance() {
        self.receivedAt += self.spacing
    }

    /// The time of the last of so many calls, in microseconds since 1970.
    package func last(of calls: Int) -> Int64 {
        self.receivedAt + Int64(max(calls, 1) - 1) * self.spacing
    }

    /// Whether both are from 1970 to 9999, as all that a machine gives are: every window and age
    /// can be counted from them.
    package var arePossible: Bool {
        let possible = SnapshotFormat.times
        return possible.contains(self.receivedAt) && possible.contains(self.clock)
    }

    /// Whether the frame must record the clock, because it cannot be told from `receivedAt`.
    package var recordsClock: Bool { self.clock != self.receivedAt }
}

/// The machine's clock at the head of a frame's payload, where it is behind the frame's
/// `receivedAt`.
///
/// Layout, little-endian: a record header (`RecordFormat`) of kind 255 with a payload of 8 bytes
/// and no operations, then `clock: Int64 µs since 1970`. Source: docs/formats/records.md.
package enum FrameClock {
    /// Of no `RecordKind`: it belongs to the frame, and no call is behind it.
    static let kind: UInt8 = 255
    /// Header and clock.
    package static let bytes = RecordFormat.headerBytes + 8
    /// A clock that is behind by less is taken for `receivedAt`, in microseconds: calls that come
    /// faster than one per microsecond for a moment need no record, and so no copy of the frame.
    package static let behindMicrosecondsMin: Int64 = 1_000

    /// Appends it; the first bytes of a payload.
    package static func write(_ clock: Int64, into buffer: inout ByteBuffer) {
        buffer.append(UInt32(8))
        buffer.append(Self.kind)
        buffer.append(RecordFormat.version)
        buffer.append(UInt16(0))
        buffer.append(clock)
    }

    /// Divides a payload into the clock, if it begins with one, and the records.
    package static func split(_ payload: UnsafeRawBufferPointer) -> (
        clock: Int64?, records: UnsafeRawBufferPointer
    ) {
        var reader = ByteReader(payload)
        guard reader.read(UInt32.self) == 8, reader.read(UInt8.self) == Self.kind,
            reader.read(UInt8.self) == RecordFormat.version, reader.read(UInt16.self) == 0
        else { return (nil, payload) }
        let clock = reader.read(Int64.self)
        guard !reader.overrun else { return (nil, payload) }
        return (clock, UnsafeRawBufferPointer(rebasing: payload[Self.bytes...]))
    }
}
