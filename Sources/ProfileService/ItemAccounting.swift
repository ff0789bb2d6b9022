import IOCore
import Profiles

/// The items of each project for the metrics, under a bounded number of labels.
///
/// A label for each of 10,000 projects would cost a scrape megabytes, and a monitoring system as
/// many series. The first projects that have items get one each, by age; the others share one. A
/// label stays with its project until that is gone, so that no series jumps.
///
/// Source: docs/decisions/0147-accounting-per-project.md.
package final class ItemAccounting: Sendable {
    /// Projects with a label of their own, unless an operator says otherwise.
    package static let labelsMax = 100
    /// The label of all other items; no project can have such a name.
    package static let others = "_other"

    /// The items of one label.
    package struct Series: Equatable, Sendable {
        package var project: String
        package var items: ItemCounts
    }

    /// Every item once in `total`, and once in a series unless the series has ended with its
    /// project.
    package struct Figures: Equatable, Sendable {
        package var total = ItemCounts()
        /// The last one is that of `others`.
        package var series: [Series] = []

        package init() {}
    }

    private struct Label {
        var name: String
        /// As of the last look.
        var items: ItemCounts
    }

    private struct Labels {
        var labels: [ProjectID: Label] = [:]
        /// What labels had when their projects went: it has left the metrics with them.
        var gone = ItemCounts()
    }

    /// Projects with a label of their own.
    package let labelsMax: Int
    private let labels = Guarded(Labels())

    package init(labelsMax: Int = ItemAccounting.labelsMax) { self.labelsMax = labelsMax }

    /// Looks at every project's counters. Any thread.
    ///
    /// - Complexity: O(projects).
    package func figures(of store: Store) -> Figures {
        self.labels.withLock { labels in
            var figures = Figures()
            var others = ItemCounts()
            var found: [ProjectID: ItemCounts] = [:]
            var new: [(ProjectID, ItemCounts)] = []
            store.forEachItemCount { project, items in
                figures.total += items
                if labels.labels[project] != nil {
                    found[project] = items
                } else if project.rawValue != 0, items.received > 0,
                    new.count < self.labelsMax
                {
                    new.append((project, items))
                } else {
                    others += items
                }
            }
            for (project, label) in labels.labels where found[project] == nil {
                labels.gone += label.items
                labels.labels[project] = nil
            }
            for (project, items) in found { labels.labels[project]?.items = items }
            for (project, items) in new {
                if labels.labels.count < self.labelsMax, let info = store.project(project) {
                    labels.labels[project] = Label(
                        name: String(decoding: info.name, as: UTF8.self), items: items)
                } else {
                    others += items
                }
            }
            figures.series = labels.labels.sorted { $0.key.rawValue < $1.key.rawValue }.map {
                Series(project: $0.value.name, items: $0.value.items)
            }
            figures.series.append(Series(project: Self.others, items: others - labels.gone))
            return figures
        }
    }
}
