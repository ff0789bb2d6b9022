import IOCore

/// The pages as they are in one turn of the listener: rendered once, however many requests ask for
/// them, so that a client which repeats its request costs copies and no rendering.
final class TurnPages: AdminPages {
    private let pages: any AdminPages
    private let rendered = Guarded<String?>(nil)

    init(_ pages: any AdminPages) {
        self.pages = pages
    }

    func livez() -> AdminCheck { self.pages.livez() }
    func readyz() -> AdminCheck { self.pages.readyz() }
    func startupz() -> AdminCheck { self.pages.startupz() }
    func version() -> String { self.pages.version() }

    func metrics() -> String {
        self.rendered.withLock { rendered in
            if let rendered { return rendered }
            let text = self.pages.metrics()
            rendered = text
            return text
        }
    }
}
