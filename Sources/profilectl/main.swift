import Foundation
import ProfileTool

exit(
    ToolMain.run(
        Array(CommandLine.arguments.dropFirst()), environment: ProcessInfo.processInfo.environment,
        terminal: .system))
