import Glibc
import IOLinux
import ProfileServer

// In this order: secrets leave the environment before it is copied, and nothing keeps them.
exit(
    ServerMain.run(
        operatorKeys: ServerMain.begin(), environment: LinuxProcess.environment
    ).rawValue)
