import Bytes
import IOCore
import IOSimulation

@testable import Storage

/// The segments of a log and the note of its end, through a survey and two starts, and what is
/// behind their checksums.
enum LogFuzz {
    /// Takes everything, and looks whether it is in order.
    private final class Target: RecoveryTarget {
        private var nextLSN: UInt64?

        func begin(_ position: SnapshotPosition, bytes: Int) {}
        func load(_ block: UnsafeRawBufferPointer) -> Bool { true }
        func endOfSnapshot() -> Bool { true }
        func abandonSnapshot() {}
        func check(_ results: ResultsMark, number: UInt64) -> Bool { true }

        func replay(_ frame: ReplayedFrame) -> Bool {
            precondition(frame.firstLSN == self.nextLSN ?? frame.firstLSN, "lsns have no gap")
            self.nextLSN = frame.firstLSN + UInt64(frame.operationCount)
            return true
        }
    }

    private static let directory = "d"
    /// Of segments that a start makes, in bytes: small, so that a start is quick.
    private static let segmentBytes = 16 << 10

    /// The bytes of one segment, as they are and with the checksums that they should have, and the
    /// last of them as the note of the log's end.
    static func log(_ bytes: UnsafeRawBufferPointer) {
        self.frames(bytes)
        let sealed = self.sealed(bytes)
        self.start(Array(bytes), end: [])
        self.start(sealed, end: [])
        self.start(sealed, end: self.sealedEnd(of: sealed))
    }

    /// Frames wherever they are looked for.
    private static func frames(_ bytes: UnsafeRawBufferPointer) {
        var segment: UInt64 = 1
        if case .header(let found) = SegmentHeader.read(bytes) { segment = found.number }
        let disk = SimulatedDisk(DiskState(files: [("file", Array(bytes))]), isRecording: false)
        guard let file = try? disk.open("file", .read), var reader = try? SegmentReader(file) else {
            return
        }
        for offset in stride(from: 0, to: bytes.count, by: 64) {
            _ = try? reader.frame(at: offset, segment: segment, seed: UInt32(offset & 1))
        }
        _ = try? reader.endOfData(after: bytes.count / 2)
    }

    /// Reads a directory with this one segment as `verify` does, opens it, and opens it again.
    private static func start(_ segment: [UInt8], end: [UInt8]) {
        var number: UInt64 = 1
        segment.withUnsafeBytes {
            if case .header(let header) = SegmentHeader.read($0) { number = header.number }
        }
        var files = [("\(self.directory)/\(SegmentFiles.name(of: number))", segment)]
        if !end.isEmpty { files.append(("\(self.directory)/\(LogEndFile.name)", end)) }
        let disk = SimulatedDisk(DiskState(files: files), isRecording: false)
        var options = LogOptions()
        options.segmentBytes = self.segmentBytes
        let environment = LogEnvironment(
            directory: self.directory, fileSystem: disk, clock: SimulatedClock(), options: options)
        if let survey = try? LogSurvey(environment) {
            for name in survey.names { _ = try? survey.read(name) }
        }
        guard let lsn = self.open(environment) else { return }
        disk.killProcess()
        precondition(self.open(environment) == lsn, "a log that was opened is opened again")
    }

    /// - Returns: The last lsn; `nil`: the start is rejected.
    private static func open(_ environment: LogEnvironment) -> UInt64? {
        let genesis = { () -> LogGenesis in
            preconditionFailure("a directory with a segment is not empty")
        }
        return try? SegmentedLog.open(environment, genesis: genesis, target: Target()).log.lastLSN
    }

    // MARK: By docs/formats/log.md alone

    /// Offsets of fields, in bytes.
    private static let (segmentPreviousOffset, segmentCRCOffset) = (56, 60)
    private static let (payloadBytesOffset, previousOffset) = (24, 52)
    private static let (payloadCRCOffset, headerCRCOffset) = (64, 68)
    private static let (directoryRange, endCRCOffset) = (16 ..< 32, 64)

    /// The same bytes with right magics and checksums, each frame naming the one before it.
    private static func sealed(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        guard bytes.count >= SegmentHeader.bytes else { return [] }
        var buffer = bytes.sealed(
            magic: SegmentHeader.magic, version: SegmentHeader.version,
            crcAt: self.segmentCRCOffset)
        let seed = buffer.bytes.crc(self.directoryRange)
        var previous = bytes.uint32(at: self.segmentPreviousOffset)
        var start = SegmentHeader.bytes
        while start + FrameHeader.bytes <= bytes.count {
            let payload = start + FrameHeader.bytes
            let end = payload + Int(bytes.uint32(at: start + self.payloadBytesOffset))
            guard end <= bytes.count else { break }
            buffer.patch(FrameHeader.magic, at: start)
            buffer.patch(previous, at: start + self.previousOffset)
            buffer.patch(buffer.bytes.crc(payload ..< end), at: start + self.payloadCRCOffset)
            previous = buffer.bytes.crc(start ..< start + self.headerCRCOffset, continuing: seed)
            buffer.patch(previous, at: start + self.headerCRCOffset)
            start = (end + FrameHeader.alignmentBytes - 1) / FrameHeader.alignmentBytes
            start *= FrameHeader.alignmentBytes
        }
        return Array(buffer.bytes)
    }

    /// The last bytes of a segment as the note of an end in its directory.
    private static func sealedEnd(of segment: [UInt8]) -> [UInt8] {
        guard segment.count >= SegmentHeader.bytes + LogEnd.slotBytes else { return [] }
        var slot = Array(segment.suffix(LogEnd.slotBytes))
        slot.replaceSubrange(self.directoryRange, with: segment[self.directoryRange])
        return slot.withUnsafeBytes {
            let sealed = $0.sealed(
                magic: LogEnd.magic, version: LogEnd.version, crcAt: self.endCRCOffset)
            return Array(sealed.bytes)
        }
    }
}
