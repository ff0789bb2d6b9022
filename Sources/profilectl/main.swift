import Glibc
import IOLinux
import ProfileTool

let environment = LinuxProcess.environment
exit(
    ToolMain.run(
        LinuxProcess.arguments, environment: environment,
        terminal: .system(environment: environment)))
