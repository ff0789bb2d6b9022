import Foundation
import ProfileServer

// Before Foundation copies the environment.
let operatorKeys = ServerMain.begin()
exit(
    ServerMain.run(
        environment: ProcessInfo.processInfo.environment, operatorKeys: operatorKeys
    ).rawValue)
