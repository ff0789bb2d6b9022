import Foundation
import ProfileServer

exit(ServerMain.run(environment: ProcessInfo.processInfo.environment).rawValue)
