/// What the peer may still send on each of its latest streams, by its own frames alone.
///
/// nghttp2 keeps no closed streams here (see `SessionSettings`), so it cannot tell a frame that a
/// client must not send from one that crossed our RST_STREAM. The client's own END_STREAM and
/// RST_STREAM tell it: whatever follows them on the same stream is an error of the client, whatever
/// we did meanwhile; and what comes before them is in order, though we have reset the stream.
///
/// Two bits for each of the latest 128 identifiers: more than the streams that may be open at once
/// (100). Frames of older streams are passed to nghttp2, which ignores or serves them.
///
/// Source: RFC 9113, sections 5.1, 5.1.1, 6.3; RFC 7540, section 5.3.1.
struct PeerStreams {
    enum Verdict: Equatable {
        /// nghttp2 decides.
        case pass
        /// A connection error of type STREAM_CLOSED.
        case streamClosed
        /// A connection error of type PROTOCOL_ERROR.
        case protocolError
    }

    /// Streams that are remembered: the bits of a word.
    private static let streamsMax: UInt32 = 128

    /// The highest identifier that the peer has opened, or 0.
    private var highest: UInt32 = 0
    /// Bit `n`: the stream `highest - 2 * n` was opened, not passed over.
    private var opened: UInt128 = 0
    /// Bit `n`: the peer has not ended its side of that stream.
    private var sending: UInt128 = 0
    /// Between HEADERS without END_HEADERS and its last CONTINUATION only nghttp2 knows what may
    /// come.
    private(set) var isInsideHeaderBlock = false

    init() {}

    /// Follows one frame of the peer.
    ///
    /// Budget: 20 instructions for DATA, and for HEADERS in one frame that open the next stream.
    @inline(__always)
    mutating func receive(_ frame: FrameScanner.Header) -> Verdict {
        if self.isInsideHeaderBlock { return self.receiveOther(frame) }
        if frame.kind == FrameKind.data {
            guard frame.stream & 1 == 1, frame.stream <= self.highest else { return .pass }
            let distance = (self.highest &- frame.stream) &>> 1
            guard distance < Self.streamsMax else { return .pass }
            let bit = UInt128(truncatingIfNeeded: 1) &<< UInt128(truncatingIfNeeded: distance)
            guard self.sending & bit != 0 else { return .streamClosed }
            if frame.flags & FrameKind.endStream != 0 { self.sending &= ~bit }
            return .pass
        }
        if frame.kind == FrameKind.headers, frame.stream == self.highest &+ 2,
            frame.stream & 1 == 1, frame.flags & FrameKind.endHeaders != 0
        {
            self.opened = self.opened &<< 1 | 1
            self.sending =
                self.sending &<< 1
                | UInt128(truncatingIfNeeded: ~frame.flags & FrameKind.endStream)
            self.highest = frame.stream
            return .pass
        }
        return self.receiveOther(frame)
    }

    private mutating func receiveOther(_ frame: FrameScanner.Header) -> Verdict {
        if self.isInsideHeaderBlock {
            if frame.kind == FrameKind.continuation, frame.flags & FrameKind.endHeaders != 0 {
                self.isInsideHeaderBlock = false
            }
            return .pass
        }
        switch frame.kind {
        case FrameKind.headers: return self.headers(frame)
        case FrameKind.reset:
            if let bit = self.bit(of: frame.stream) { self.sending &= ~bit }
            return .pass
        case FrameKind.priority:
            // nghttp2 does not look into PRIORITY once RFC 7540 priorities are off.
            return frame.length == 5
                && (frame.stream == 0 || frame.dependency == frame.stream)
                ? .protocolError : .pass
        default: return .pass
        }
    }

    private mutating func headers(_ frame: FrameScanner.Header) -> Verdict {
        // nghttp2 rejects identifiers that are not a client's.
        guard frame.stream & 1 == 1 else { return .pass }
        let isEnd = frame.flags & FrameKind.endStream != 0
        if frame.stream > self.highest {
            self.open(frame.stream, isEnd: isEnd)
        } else if let bit = self.bit(of: frame.stream) {
            guard self.opened & bit != 0 else { return .protocolError }
            guard self.sending & bit != 0 else { return .streamClosed }
            if isEnd { self.sending &= ~bit }
        }
        self.isInsideHeaderBlock = frame.flags & FrameKind.endHeaders == 0
        return .pass
    }

    private mutating func open(_ stream: UInt32, isEnd: Bool) {
        // The first identifier may be any; `highest` is odd from then on.
        let distance = self.highest == 0 ? Self.streamsMax : (stream - self.highest) / 2
        let isNear = distance < Self.streamsMax
        self.opened = (isNear ? self.opened << distance : 0) | 1
        self.sending = (isNear ? self.sending << distance : 0) | (isEnd ? 0 : 1)
        self.highest = stream
    }

    /// The bit of a stream; `nil` if it is idle, too old, or not a client's.
    private func bit(of stream: UInt32) -> UInt128? {
        guard stream & 1 == 1, stream <= self.highest else { return nil }
        let distance = (self.highest - stream) / 2
        return distance < Self.streamsMax ? 1 << UInt128(distance) : nil
    }
}
