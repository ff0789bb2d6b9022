import Foundation
import ProfileTool

let environment = ProcessInfo.processInfo.environment
exit(
    ToolMain.run(
        Array(CommandLine.arguments.dropFirst()), environment: environment,
        terminal: .system(environment: environment)))
