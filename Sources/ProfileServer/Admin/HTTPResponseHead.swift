import Bytes

/// The head of a response.
struct HTTPResponseHead {
    var status: HTTPStatus
    var type: String
    var bodyBytes: Int
    var keepsAlive: Bool
    /// More header fields, each with a line break before it.
    var fields = ""

    func append(wallMicroseconds: Int64, to output: inout ByteBuffer) {
        output.append("HTTP/1.1 ")
        output.append(text: self.status.rawValue.description)
        output.append(" ")
        output.append(self.status.reason)
        output.append("\r\nDate: ")
        CivilTime(microsecondsSinceEpoch: wallMicroseconds).appendHTTPDate(to: &output)
        output.append("\r\nContent-Type: ")
        output.append(text: self.type)
        output.append("\r\nContent-Length: ")
        output.append(text: self.bodyBytes.description)
        // A probe result from a cache would prove nothing, and a person's data is in none.
        output.append("\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff")
        output.append(text: self.fields)
        // Always explicit: HTTP/1.0 closes by default, HTTP/1.1 does not.
        output.append(self.keepsAlive ? "\r\nConnection: keep-alive" : "\r\nConnection: close")
        output.append("\r\n\r\n")
    }
}
