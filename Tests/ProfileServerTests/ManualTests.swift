import IOCore
import Testing

@testable import ProfileServer

@Suite struct ManualTests {
    @Test func everySettingFlagAndExitCodeIsInTheManual() {
        let manual = Setting.manual
        for setting in Setting.all {
            let flag = setting.flag.replacing("-", with: #"\-"#)
            #expect(manual.contains(".B \(flag) "), "\(setting.name)")
            #expect(manual.contains(setting.environmentName))
            #expect(Setting.fileManual.contains(".B \(flag.dropFirst(4))\n"), "\(setting.name)")
        }
        for flag in ProcessFlag.all {
            #expect(manual.contains(".B \(flag.usage.replacing("-", with: #"\-"#))\n"))
        }
        for code in ExitCode.allCases { #expect(manual.contains(".B \(code.rawValue)\n")) }
    }

    @Test func defaultsOfTheMachineAreNotPrinted() {
        // Pages are made on one machine and read on another.
        #expect(Setting.manual.contains("The default depends on the machine; unit: threads."))
        #expect(Setting.manual.contains("Default 64MiB; unit: bytes"))
    }

    @Test func theFlagsPrintThePages() throws {
        for (flag, text) in [
            ("--help-man", Setting.manual), ("--help-man-config", Setting.fileManual),
        ] {
            let invocation = try Configuration.resolve(
                arguments: [flag], environment: [:], cores: 1,
                readFile: { _, _ throws(IOError) in [] })
            #expect(invocation == .printHelp(text))
        }
    }
}
