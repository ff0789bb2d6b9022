import ManualPages
import Testing

@testable import ProfileTool

@Suite struct ManualTests {
    @Test func everyCommandAndFlagIsInTheManual() {
        let manual = ToolCommand.manual
        for command in ToolCommand.all {
            #expect(manual.contains(".SS \"profilectl \(command.name) "), "\(command.name)")
            for option in command.options + ToolCommand.globalOptions {
                #expect(manual.contains(".B \(option.name.replacing("-", with: #"\-"#))"))
            }
        }
    }

    @Test func textStandsForItselfWhateverTheFormatterWouldReadInIt() {
        var page = ManualPage("a-b", section: 1, version: "1", summary: "c")
        page.verbatim(".so /etc/passwd\n'it\nx\\n\"y\"`^~")
        let body = page.text.split(separator: "\n").suffix(4)
        #expect(
            body == [
                #"\&.so /etc/passwd"#, #"\(aqit"#, #"x\(rsn\(dqy\(dq\(ga\(ha\(ti"#, ".fi",
            ])
        #expect(page.text.contains(#"a\-b \- c"#))
    }
}
