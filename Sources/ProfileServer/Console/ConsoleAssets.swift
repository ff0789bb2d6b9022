/// The files of the profile page, which are part of the program.
enum ConsoleAssets {
    private static let script = "text/javascript; charset=utf-8"

    private static let files: [String: (type: String, bytes: [UInt8])] = [
        "/": ("text/html; charset=utf-8", PackageResources.index_html),
        "/assets/console.css": ("text/css; charset=utf-8", PackageResources.console_css),
        "/assets/icon.svg": ("image/svg+xml", PackageResources.icon_svg),
        "/assets/app.js": (Self.script, PackageResources.app_js),
        "/assets/api.js": (Self.script, PackageResources.api_js),
        "/assets/charts.js": (Self.script, PackageResources.charts_js),
        "/assets/dom.js": (Self.script, PackageResources.dom_js),
        "/assets/format.js": (Self.script, PackageResources.format_js),
        "/assets/overview.js": (Self.script, PackageResources.overview_js),
        "/assets/people.js": (Self.script, PackageResources.people_js),
        "/assets/person.js": (Self.script, PackageResources.person_js),
        "/assets/timeline.js": (Self.script, PackageResources.timeline_js),
    ]

    static func find(_ path: String) -> HTTPContent? {
        self.files[path].map { ConsoleContent.file(type: $0.type, $0.bytes) }
    }
}
