import Foundation

/// Lines on standard output, each written at once: another process may read them.
enum Console {
    static func print(_ line: some CustomStringConvertible) {
        FileHandle.standardOutput.write(Data("\(line)\n".utf8))
    }
}
