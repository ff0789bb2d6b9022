/// A promise that a run has broken.
package struct Violation: Error, Equatable, Sendable {
    /// Who found it: the name of a checker, or of a part of the world.
    package var checker: String
    /// What was promised and what was seen.
    package var text: String

    package init(_ checker: String, _ text: String) {
        self.checker = checker
        self.text = text
    }
}
