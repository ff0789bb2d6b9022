import Bytes
import Profiles

/// What is wrong with the `filter` of a request.
///
/// The contract's reason is FILTER_INVALID, where nothing else is wrong with the request.
enum FilterViolations {
    enum Outcome {
        case compiled(CompiledFilter)
        case rejected(Violation)
    }

    /// Compiles a filter, or says what is wrong with it: the column and what is expected there.
    ///
    /// - Parameter text: Valid UTF-8 without NUL: `WireCheck` has seen it.
    static func compile(
        _ text: UnsafeRawBufferPointer, _ scope: FilterScope, at path: String = "filter"
    ) -> Outcome {
        // Four bytes are the longest scalar: nothing larger is decoded.
        guard text.count <= FilterLimits.charactersMax * 4 else {
            return .rejected(
                Violation(
                    path: path,
                    description:
                        "\(text.count) bytes, at most \(FilterLimits.charactersMax) characters"
                        + " are allowed"))
        }
        do throws(FilterError) {
            return .compiled(try CompiledFilter(String(decoding: text, as: UTF8.self), scope))
        } catch {
            return .rejected(Violation(path: path, description: error.description))
        }
    }
}
