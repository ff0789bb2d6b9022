import Foundation
import ProfileServer

exit(
    ServerMain.run(
        arguments: Array(CommandLine.arguments.dropFirst()),
        environment: ProcessInfo.processInfo.environment
    ).rawValue)
