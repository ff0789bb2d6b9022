import Bytes

// The genesis record is written once and read for ever. A limit that this release does not know
// could change an outcome, so it is rejected rather than skipped; one that is absent keeps its
// default of the version that wrote it.

/// Why a genesis payload is rejected.
package enum GenesisError: Error, Equatable {
    /// Not a genesis: short, long, or its limits out of order.
    case malformed
    /// A limit that this release does not know.
    case unknownLimit(UInt16)
    /// A limit outside of what this release can hold.
    case limitOutOfRange(UInt16)
}

extension Genesis {
    /// Appends the payload; every limit is written, so that a later default cannot change this
    /// directory.
    ///
    /// - Parameter omitted: Limits that are left out where they have their default, as from the
    ///   digest, which a release that adds a limit must not change.
    package func encode(into buffer: inout ByteBuffer, omitting omitted: [StoreLimits.Number] = [])
    {
        buffer.append(self.directoryID.high.bigEndian)
        buffer.append(self.directoryID.low.bigEndian)
        buffer.append(self.hashKey.k0)
        buffer.append(self.hashKey.k1)
        buffer.append(self.secret.k0)
        buffer.append(self.secret.k1)
        let standard = StoreLimits()
        let numbers = StoreLimits.Number.allCases.filter {
            !omitted.contains($0) || self.limits[$0] != standard[$0]
        }
        buffer.append(UInt16(numbers.count))
        for number in numbers {
            buffer.append(number.rawValue)
            buffer.append(self.limits[number])
        }
    }

    /// Reads a payload.
    ///
    /// - Throws: `GenesisError`, by the rule of each case.
    package init(decoding payload: UnsafeRawBufferPointer) throws(GenesisError) {
        var reader = ByteReader(payload)
        let directory = reader.read(count: ProfileID.binaryBytes)
        self.hashKey = SipHashKey(k0: reader.read(), k1: reader.read())
        self.secret = SipHashKey(k0: reader.read(), k1: reader.read())
        let count = reader.read(UInt16.self)
        guard !reader.overrun else { throw .malformed }
        self.directoryID = ProfileID(binary: directory)
        self.limits = StoreLimits()
        var previous: UInt16 = 0
        for _ in 0 ..< count {
            let raw = reader.read(UInt16.self)
            let value = reader.read(UInt64.self)
            guard !reader.overrun, raw > previous else { throw .malformed }
            guard let number = StoreLimits.Number(rawValue: raw) else { throw .unknownLimit(raw) }
            guard number.range.contains(value) else { throw .limitOutOfRange(raw) }
            self.limits[number] = value
            previous = raw
        }
        guard reader.isAtCleanEnd else { throw .malformed }
    }
}

extension StoreLimits {
    /// The numbers of the limits in a genesis record; they may never change, only be added to.
    package enum Number: UInt16, CaseIterable, Sendable {
        case eventsPerProfile = 1
        case eventRetentionSeconds = 2
        case lateWindowSeconds = 3
        case aheadWindowSeconds = 4
        case installationsPerProfile = 5
        case countersPerProfile = 6
        case namesPerProject = 7
        case requestIDsPerProject = 8
        case requestIDBytesPerProject = 9
        case requestIDSeconds = 10
        case attributesPerProfile = 11
        case mergeSeconds = 12
        case mergesPerProject = 13
        case blockSeconds = 14
        case blocksPerProject = 15
        case projectsMax = 16

        /// What this release can hold: counts fit their 16- or 32-bit fields, and ten years in
        /// microseconds fit an Int64 a thousand times over, so no window arithmetic overflows.
        package var range: ClosedRange<UInt64> {
            switch self {
            case .eventsPerProfile, .installationsPerProfile, .countersPerProfile, .namesPerProject:
                1 ... 65_535
            case .attributesPerProfile: 1 ... 1_000
            case .eventRetentionSeconds, .requestIDSeconds, .mergeSeconds, .blockSeconds:
                1 ... 10 * 366 * 86_400
            case .lateWindowSeconds, .aheadWindowSeconds: 0 ... 10 * 366 * 86_400
            case .requestIDsPerProject, .mergesPerProject, .blocksPerProject: 0 ... 100_000_000
            case .requestIDBytesPerProject: 0 ... 16 << 30
            case .projectsMax: 1 ... 1_000_000
            }
        }
    }

    /// The limit with a number.
    package subscript(number: Number) -> UInt64 {
        get { self[keyPath: Self.path(number)] }
        set { self[keyPath: Self.path(number)] = newValue }
    }

    /// Whether every limit is in its range.
    package var isSupported: Bool {
        Number.allCases.allSatisfy { $0.range.contains(self[$0]) }
    }

    private static func path(_ number: Number) -> WritableKeyPath<StoreLimits, UInt64> {
        switch number {
        case .eventsPerProfile: \.eventsPerProfile
        case .eventRetentionSeconds: \.eventRetentionSeconds
        case .lateWindowSeconds: \.lateWindowSeconds
        case .aheadWindowSeconds: \.aheadWindowSeconds
        case .installationsPerProfile: \.installationsPerProfile
        case .countersPerProfile: \.countersPerProfile
        case .namesPerProject: \.namesPerProject
        case .requestIDsPerProject: \.requestIDsPerProject
        case .requestIDBytesPerProject: \.requestIDBytesPerProject
        case .requestIDSeconds: \.requestIDSeconds
        case .attributesPerProfile: \.attributesPerProfile
        case .mergeSeconds: \.mergeSeconds
        case .mergesPerProject: \.mergesPerProject
        case .blockSeconds: \.blockSeconds
        case .blocksPerProject: \.blocksPerProject
        case .projectsMax: \.projectsMax
        }
    }
}
