/// A file that the configuration names is not usable; for an operator.
struct ServerFileFailure: Error, Equatable, CustomStringConvertible {
    let description: String
}
