import Bytes
import IOCore

/// Reads the frames of one sealed segment up to the first that a later segment replaces, about
/// 1 MiB per step.
final class SegmentScan {
    /// Bytes of frames that one step reads, at least, unless the segment ends.
    private static let pieceBytes = 1 << 20

    private let file: any File
    private let number: UInt64
    private let limit: UInt64
    private let seed: UInt32
    private var reader: SegmentReader
    private var chain: SegmentedLog.Chain
    private var offset = SegmentHeader.bytes

    /// - Parameters:
    ///   - limit: The first frame that is not read.
    ///   - seed: Of the directory's checksums.
    init(
        _ files: SegmentFiles, _ header: SegmentHeader, upTo limit: UInt64, seed: UInt32
    ) throws(StorageError) {
        let path = files.path(SegmentFiles.name(of: header.number))
        let file = try Recovery.storage { () throws(IOError) in
            try files.fileSystem.open(path, .read)
        }
        file.dropCache()
        do throws(StorageError) {
            self.reader = try Recovery.reader(file)
        } catch {
            file.close()
            throw error
        }
        self.file = file
        self.number = header.number
        self.limit = limit
        self.seed = seed
        self.chain = header.chain
    }

    deinit {
        self.file.close()
    }

    /// - Returns: Bytes of the frames read; `nil` once all are.
    /// - Throws: `.corruption`, `.io`.
    func step() throws(StorageError) -> Int? {
        var bytes = 0
        while self.chain.nextFrame < self.limit, bytes < Self.pieceBytes {
            guard
                case .frame(let frame, let crc, _) = try Recovery.frame(
                    &self.reader, self.offset, self.number, self.seed),
                frame.continues(self.chain)
            else {
                throw .corruption(
                    file: self.file.path, offsetBytes: self.offset, lsn: self.chain.nextLSN,
                    found: "frame \(self.chain.nextFrame) is not whole any more")
            }
            self.chain = frame.chain(crc: crc)
            self.offset += frame.totalBytes
            bytes += frame.totalBytes
        }
        return bytes > 0 ? bytes : nil
    }
}
