import ProfileService
import Storage

/// Every queue stays within its named bound, and a world at rest has nothing left in any of them.
package final class BoundsChecker: Checker {
    package let name = "bounds"

    package init() {}

    package func watch(_ world: World) throws(Violation) {
        for node in world.nodes {
            guard let running = node.node, let recovered = running.recovered else { continue }
            for (what, value, limit) in Self.gauges(running, recovered, world.settings) {
                guard value >= 0, value <= limit else {
                    throw Violation(self.name, "\(what) is \(value), its bound is \(limit)")
                }
            }
        }
    }

    /// What is counted, and its bound.
    private static func gauges(
        _ node: Node, _ recovered: Node.Recovered, _ settings: WorldSettings
    ) -> [(String, Int, Int)] {
        let configuration = settings.configuration
        let pipeline = recovered.pipeline
        var all: [(String, Int, Int)] = [
            (
                "commandsWaiting", pipeline.metrics.commandsWaiting,
                configuration.pipeline.commandsWaitingMax
            ),
            ("bytesWaiting", pipeline.metrics.bytesWaiting, configuration.pipeline.bytesWaitingMax),
            (
                "scans", recovered.scans.scans,
                configuration.scans.scansAtOnceMax + configuration.scans.scansWaitingMax
            ),
            ("watchers", recovered.watchers.metrics.watchers, configuration.watch.watchersMax),
            ("exports", recovered.exports.metrics.open, configuration.exports.exportsMax),
        ]
        for metrics in node.transportMetrics {
            all.append(
                ("connections", metrics.connections, configuration.transport.connectionsMax))
            all.append(
                (
                    "streams", metrics.streams,
                    configuration.transport.connectionsMax
                        * configuration.transport.streamsPerConnectionMax
                ))
        }
        return all
    }

    package func finish(_ world: World) throws(Violation) {
        try self.watch(world)
        for node in world.nodes {
            guard let recovered = node.node?.recovered else { continue }
            let pipeline = recovered.pipeline.metrics
            guard pipeline.commandsWaiting == 0, pipeline.bytesWaiting == 0,
                recovered.scans.scans == 0, recovered.exports.metrics.open == 0
            else {
                throw Violation(
                    self.name,
                    "at rest \(pipeline.commandsWaiting) commands of "
                        + "\(pipeline.bytesWaiting) bytes, \(recovered.scans.scans) scans and "
                        + "\(recovered.exports.metrics.open) exports wait")
            }
        }
    }
}
