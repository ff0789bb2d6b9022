import Bytes

// Counts and lists look at every profile of a project, or at the few that an index knows, in slices
// between which everyone else has a turn.
//
// SAFETY: headers and blocks are read under the lock of their shard and copied before it is
// released. A copy that is evaluated begins at a multiple of 8 and is as long as its header says.

/// Bounds of a slice of a scan. A unit of work is some 50 ns: a profile that is looked at, and as
/// much again for each `bytesPerUnit` bytes that a comparison may read.
package enum ScanSlice {
    /// Slots that are passed under one lock, which the applier may wait for.
    static let slotsPerLock = 256
    /// Work under one lock, in units: some 50 µs.
    static let workPerLock = 1_024
    /// Work of a slice, in units: some 200 µs.
    package static let workMax = 4_096
    /// Bytes of the parts of a profile, times comparisons, in a unit of work.
    static let bytesPerUnit = 512
    /// Slots that are passed in a unit of work: most are of other projects then.
    package static let slotsPerUnit = 8
    /// A profile of so much work is copied under the lock, and evaluated behind it.
    static let copiedWorkMin = 512
    /// Bytes of copies that end a slice: what is read is encoded before more is.
    static let copiedBytesMax = 64 << 10
    /// Profiles that an index may name for one text; of more of them, every profile is looked at.
    static let candidatesMax = 4_096
}

/// A pass over those profiles of a project that match a filter, in the order of `ProfileWalk`.
package struct ProfileScan: Sendable {
    package let filter: CompiledFilter
    /// What relative times of the filter are taken from, in microseconds since 1970.
    package let time: Int64
    /// Work that was done, in units.
    package fileprivate(set) var work = 0
    fileprivate var walk: ProfileWalk
    /// What an index knows, ascending by position; `nil`: every profile is looked at.
    fileprivate var candidates: [ProfileRef]?
    /// Of those, the next.
    fileprivate var nextCandidate = 0

    fileprivate init(_ filter: CompiledFilter, _ walk: ProfileWalk, time: Int64) {
        self.filter = filter
        self.walk = walk
        self.time = time
    }

    package var project: ProjectID { self.walk.project }

    /// Whether an index names the profiles to look at.
    package var usesIndex: Bool { self.candidates != nil }

    package var isAtEnd: Bool {
        self.candidates.map { self.nextCandidate == $0.count } ?? self.walk.isAtEnd
    }

    /// Where a later scan goes on, as `ProfileWalk.position`.
    package var position: UInt64 {
        guard let candidates = self.candidates else { return self.walk.position }
        return self.nextCandidate == candidates.count
            ? ProfileWalk.endPosition : ProfileWalk.position(of: candidates[self.nextCandidate])
    }
}

/// What is found under one lock.
private struct ScanPiece {
    let filter: CompiledFilter
    let names: NameTable
    let time: Int64
    /// Of the read, in microseconds since 1970; `nil`: matches are counted only.
    let now: Int64?
    /// Matches that end the piece.
    let matchesMax: Int
    /// Work that ends the piece, in units.
    let workMax: Int
    var matches = 0
    var work = 0
    var foundNames = FoundNames()
    var copied: [Store.Copied] = []
    /// One that is still to be evaluated.
    var large: Store.Copied?

    var isFull: Bool { self.matches >= self.matchesMax || self.work >= self.workMax }
}

extension Store {
    /// Begins a scan, and looks up what an index knows. Any thread.
    ///
    /// - Parameters:
    ///   - time: What relative times are taken from, in microseconds since 1970.
    ///   - position: Of an earlier scan, or 0.
    /// - Complexity: O(1); with a lookup O(`ScanSlice.candidatesMax`), one lock.
    package func makeScan(
        _ project: ProjectID, _ filter: CompiledFilter, time: Int64, from position: UInt64 = 0
    ) -> ProfileScan {
        let walk = ProfileWalk(project, from: position)
        var scan = ProfileScan(filter, walk, time: time)
        guard let lookup = filter.lookup else { return scan }
        guard let found = self.candidates(lookup, in: project) else { return scan }
        let sorted =
            found
            .filter { ProfileWalk.position(of: $0) >= walk.position }
            .sorted { ProfileWalk.position(of: $0) < ProfileWalk.position(of: $1) }
        // Two identifiers of one profile may have one hash.
        scan.candidates = sorted.indices
            .filter { $0 == 0 || sorted[$0] != sorted[$0 - 1] }
            .map { sorted[$0] }
        return scan
    }

    /// Every profile that may satisfy a lookup; `nil`: there are too many.
    private func candidates(_ lookup: FilterLookup, in project: ProjectID) -> [ProfileRef]? {
        let max = ScanSlice.candidatesMax + 1
        let found: [ProfileRef]
        switch lookup {
        case .identifier(let kind, let bytes):
            let hash = bytes.withUnsafeBytes {
                self.hash.identifier(project, IdentifierView(kind: kind, bytes: $0))
            }
            found = self.index.candidates(hash, max: max, isSpread: false) { 0 }.profiles
        case .address(let channel, let bytes):
            let hash = bytes.withUnsafeBytes { self.addressIndexHash(project, channel, $0) }
            found = self.addresses.candidates(hash, max: max) { 0 }.profiles
        }
        return found.count < max ? found : nil
    }

    /// Counts the matches of the next slice of a scan. Any thread.
    ///
    /// - Parameter copies: For the use of this call; storage only.
    /// - Complexity: `ScanSlice.workMax` units of work, and one profile more; one lock at a time,
    ///   each for `ScanSlice.workPerLock`.
    package func countNext(_ scan: inout ProfileScan, copies: inout ByteBuffer) -> Int {
        var count = 0
        let end = scan.work + ScanSlice.workMax
        while scan.work < end, !scan.isAtEnd {
            copies.removeAll()
            var piece = self.makePiece(scan, now: nil, matchesMax: .max)
            self.pass(&scan, &piece, &copies)
            count += piece.matches
        }
        return count
    }

    /// Reads the matches of the next slice of a scan, and appends their images. Any thread.
    ///
    /// - Parameters:
    ///   - limit: Matches that end the slice, at least 1.
    ///   - now: In microseconds; events past the retention at this time count as dropped.
    ///   - copies: For the use of this call; storage only.
    /// - Returns: Each profile as it is now, at an lsn of its own.
    /// - Complexity: As `countNext`; `ScanSlice.copiedBytesMax` bytes of copies, and one profile
    ///   more.
    package func readNext(
        _ scan: inout ProfileScan, limit: Int, now: Int64, copies: inout ByteBuffer,
        into buffer: inout ByteBuffer
    ) -> ProfileImages {
        var images = ProfileImages()
        copies.removeAll()
        let end = scan.work + ScanSlice.workMax
        while scan.work < end, !scan.isAtEnd, images.profiles.count < limit,
            copies.count < ScanSlice.copiedBytesMax
        {
            var piece = self.makePiece(
                scan, now: now, matchesMax: limit - images.profiles.count)
            self.pass(&scan, &piece, &copies)
            for item in piece.copied {
                images.profiles.append(self.appendImage(of: item, copies.bytes, to: &buffer))
            }
        }
        return images
    }

    // MARK: Under one lock

    private func makePiece(_ scan: ProfileScan, now: Int64?, matchesMax: Int) -> ScanPiece {
        ScanPiece(
            filter: scan.filter, names: self.projects.names(of: scan.project), time: scan.time,
            now: now, matchesMax: matchesMax, workMax: ScanSlice.workPerLock)
    }

    /// Passes what is next under one lock.
    private func pass(
        _ scan: inout ProfileScan, _ piece: inout ScanPiece, _ copies: inout ByteBuffer
    ) {
        if let candidates = scan.candidates {
            self.look(at: candidates[scan.nextCandidate], of: scan.project, &piece, &copies)
            scan.nextCandidate += 1
        } else {
            let parts = scan.filter.parts
            let passed = self.advance(
                &scan.walk, slots: ScanSlice.slotsPerLock, fetching: parts
            ) { self.visit($1, &piece, &copies) }
            piece.work += passed / ScanSlice.slotsPerUnit
        }
        if let large = piece.large { self.evaluate(large, &piece, &copies) }
        // A lock costs something, even if there is nothing behind it.
        scan.work += 1 + piece.work
    }

    private func look(
        at profile: ProfileRef, of project: ProjectID, _ piece: inout ScanPiece,
        _ copies: inout ByteBuffer
    ) {
        self.profileLocks.with(profile.shard) {
            let header = UnsafePointer(self.pool.header(profile))
            // A slot may be another project's by now.
            guard header.pointee.project == project, header.pointee.isLive else { return }
            _ = self.visit(header, &piece, &copies)
        }
    }

    @inline(__always)
    private func visit(
        _ header: UnsafePointer<ProfileHeader>, _ piece: inout ScanPiece,
        _ copies: inout ByteBuffer
    ) -> WalkStep {
        let comparedBytes = header.pointee.copiedBytes * piece.filter.comparisonCount
        let work = comparedBytes / ScanSlice.bytesPerUnit
        piece.work += 1 + work
        guard work < ScanSlice.copiedWorkMin else {
            piece.large = self.copy(header, piece.now ?? piece.time, to: &copies)
            return .stop
        }
        let isMatch = self.matches(
            piece.filter, header: header.pointee, names: piece.names, now: piece.time,
            known: &piece.foundNames)
        if isMatch {
            piece.matches += 1
            if let now = piece.now { piece.copied.append(self.copy(header, now, to: &copies)) }
        }
        return piece.isFull || copies.count >= ScanSlice.copiedBytesMax ? .stop : .next
    }

    private func copy(
        _ header: UnsafePointer<ProfileHeader>, _ now: Int64, to copies: inout ByteBuffer
    ) -> Copied {
        copies.pad(to: 8)
        let start = copies.count
        let copy = self.copyParts(of: header.pointee, now, into: &copies)
        return Copied(copy: copy, bytes: start ..< copies.count, isRedirected: false)
    }

    /// Evaluates the copy of a large profile, without a lock.
    private func evaluate(
        _ large: Copied, _ piece: inout ScanPiece, _ copies: inout ByteBuffer
    ) {
        let parts = UnsafeRawPointer(copies.base) + large.bytes.lowerBound
        guard self.matches(piece.filter, large.copy, parts: parts, now: piece.time) else {
            return copies.truncate(to: large.bytes.lowerBound)
        }
        piece.matches += 1
        if piece.now != nil { piece.copied.append(large) }
    }
}
