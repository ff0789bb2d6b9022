import Profiles
import Testing

@testable import Messages

@Suite struct FilterViolationsTests {
    private static func violation(_ text: String, _ path: String = "filter") -> Violation? {
        let outcome = Array(text.utf8).withUnsafeBytes {
            FilterViolations.compile($0, .profile, at: path)
        }
        if case .rejected(let violation) = outcome { return violation }
        return nil
    }

    @Test func violationNamesFieldAndColumnAndNoValue() {
        let violation = Self.violation("custom_id = secret email_address > 5", "trigger.filter")
        #expect(
            violation
                == Violation(
                    path: "trigger.filter",
                    description: "column 36: found a number, expected a text in quotes"))
    }

    @Test func textWithoutMistakesIsCompiled() {
        #expect(Self.violation("") == nil)
        #expect(Self.violation("state = IDENTIFIED") == nil)
    }

    @Test func textThatCannotBeShortEnoughIsNotDecoded() {
        #expect(
            Self.violation(String(repeating: " ", count: 8_001))?.description
                == "8001 bytes, at most 2000 characters are allowed")
        #expect(
            Self.violation(String(repeating: " ", count: 8_000))?.description
                == "column 2001: 8000 characters, at most 2000 are allowed")
    }
}
