import Foundation
import IOLinux
import ProfileTool

LinuxProcess.holdStandardDescriptors()

exit(
    ToolMain.run(
        LinuxProcess.arguments, environment: ProcessInfo.processInfo.environment, terminal: .system)
)
