// SAFETY: a block of one of these types lies in the slab, has its `bytes`, is written whole when it
// is made, and lives until its store frees it. Its links and its owner are the applier's alone; the
// rest never changes, and other threads read it under the lock of `TriggerStore`.

/// A firing that waits for its time, or to be acknowledged, with its event.
///
/// Layout: `owner, previous, next, zero: UInt32 | profileID: 2 x UInt64 | EventBlock`. Those of one
/// owner that wait for the same are a circle.
struct Firing {
    static let headerBytes = 4 * 4 + 2 * 8

    let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer) {
        self.base = base
    }

    static func write(
        _ event: EventBlock, of id: ProfileID, to target: UnsafeMutableRawPointer
    ) {
        var writer = RawWriter(target)
        for _ in 0 ..< 4 { writer.write(UInt32(0)) }
        writer.write(id.high)
        writer.write(id.low)
        writer.write(event.wholeBytes)
    }

    var owner: Handle {
        get { self.base.load(as: Handle.self) }
        nonmutating set { self.base.storeBytes(of: newValue, as: Handle.self) }
    }
    var previous: Handle {
        get { self.base.load(fromByteOffset: 4, as: Handle.self) }
        nonmutating set { self.base.storeBytes(of: newValue, toByteOffset: 4, as: Handle.self) }
    }
    var next: Handle {
        get { self.base.load(fromByteOffset: 8, as: Handle.self) }
        nonmutating set { self.base.storeBytes(of: newValue, toByteOffset: 8, as: Handle.self) }
    }
    /// Of the profile that the event was credited to; it may have been merged away since.
    var profileID: ProfileID {
        get {
            ProfileID(
                high: self.base.load(fromByteOffset: 16, as: UInt64.self),
                low: self.base.load(fromByteOffset: 24, as: UInt64.self))
        }
        nonmutating set {
            self.base.storeBytes(of: newValue.high, toByteOffset: 16, as: UInt64.self)
            self.base.storeBytes(of: newValue.low, toByteOffset: 24, as: UInt64.self)
        }
    }
    /// The event as it was stored; its holder is the profile that it was credited to.
    var event: EventBlock { EventBlock(self.base + Self.headerBytes) }
    var totalBytes: Int { Self.headerBytes + self.event.totalBytes }
}

/// That a trigger with a cap fired for a profile.
///
/// Layout: `lsn: UInt64 | receivedAt: Int64 µs, both of the event | owner, next, profile, zero:
/// UInt32`. Those of one owner are a list by their lsns.
struct FiredTime {
    static let bytes = 8 + 8 + 4 * 4

    let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer) {
        self.base = base
    }

    static func write(
        lsn: UInt64, receivedAt: Int64, profile: ProfileRef, to target: UnsafeMutableRawPointer
    ) {
        var writer = RawWriter(target)
        writer.write(lsn)
        writer.write(receivedAt)
        writer.write(Handle(0))
        writer.write(Handle(0))
        writer.write(profile.rawValue)
        writer.write(UInt32(0))
    }

    var lsn: UInt64 { self.base.load(as: UInt64.self) }
    var receivedAt: Int64 { self.base.load(fromByteOffset: 8, as: Int64.self) }
    var owner: Handle {
        get { self.base.load(fromByteOffset: 16, as: Handle.self) }
        nonmutating set { self.base.storeBytes(of: newValue, toByteOffset: 16, as: Handle.self) }
    }
    var next: Handle {
        get { self.base.load(fromByteOffset: 20, as: Handle.self) }
        nonmutating set { self.base.storeBytes(of: newValue, toByteOffset: 20, as: Handle.self) }
    }
    /// The profile that the event was credited to.
    var profile: ProfileRef {
        ProfileRef(rawValue: self.base.load(fromByteOffset: 24, as: UInt32.self))
    }
}

/// What one trigger has of one profile. It is there as long as it has anything.
///
/// Layout: `trigger: UInt64 (createdLSN) | profile, waiting, pending, fired, lastFired, firedCount:
/// UInt32`.
struct FiringOwner {
    static let bytes = 8 + 6 * 4

    let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer) {
        self.base = base
    }

    static func write(
        trigger: UInt64, profile: ProfileRef, to target: UnsafeMutableRawPointer
    ) {
        var writer = RawWriter(target)
        writer.write(trigger)
        writer.write(profile.rawValue)
        for _ in 0 ..< 5 { writer.write(UInt32(0)) }
    }

    /// A circle of firings.
    enum Circle: Int {
        case waiting = 12
        case pending = 16
    }

    var trigger: UInt64 { self.base.load(as: UInt64.self) }
    var profile: ProfileRef {
        ProfileRef(rawValue: self.base.load(fromByteOffset: 8, as: UInt32.self))
    }
    /// One firing of a circle; 0: there is none.
    subscript(circle: Circle) -> Handle {
        get { self.base.load(fromByteOffset: circle.rawValue, as: Handle.self) }
        nonmutating set {
            self.base.storeBytes(of: newValue, toByteOffset: circle.rawValue, as: Handle.self)
        }
    }
    /// The oldest `FiredTime`, and the newest.
    var fired: Handle {
        get { self.base.load(fromByteOffset: 20, as: Handle.self) }
        nonmutating set { self.base.storeBytes(of: newValue, toByteOffset: 20, as: Handle.self) }
    }
    var lastFired: Handle {
        get { self.base.load(fromByteOffset: 24, as: Handle.self) }
        nonmutating set { self.base.storeBytes(of: newValue, toByteOffset: 24, as: Handle.self) }
    }
    var firedCount: UInt32 {
        get { self.base.load(fromByteOffset: 28, as: UInt32.self) }
        nonmutating set { self.base.storeBytes(of: newValue, toByteOffset: 28, as: UInt32.self) }
    }
    var isEmpty: Bool {
        self[.waiting] == 0 && self[.pending] == 0 && self.fired == 0
    }
}
