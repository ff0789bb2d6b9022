import Foundation
import IOLinux
import ProfileTool

let environment = ProcessInfo.processInfo.environment
exit(
    ToolMain.run(
        LinuxProcess.arguments, environment: environment,
        terminal: .system(environment: environment)))
