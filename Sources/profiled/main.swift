import Foundation
import ProfileServer

// In this order: secrets leave the environment before Foundation copies it, and nothing keeps them.
exit(
    ServerMain.run(
        operatorKeys: ServerMain.begin(), environment: ProcessInfo.processInfo.environment
    ).rawValue)
