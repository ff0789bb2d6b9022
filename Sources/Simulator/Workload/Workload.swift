/// Who lives in a world: clients that call every RPC, and the checkers of what they see.
enum Workload {
    /// Clients that write and read at once.
    private static let clients = 3

    static func install(in world: World) {
        for number in 0 ..< Self.clients {
            world.add(SimpleClient(number: number, seed: world.plan.seed))
        }
        world.add(DigestChecker())
    }
}
