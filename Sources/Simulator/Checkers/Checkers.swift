/// The checkers of a run.
enum Checkers {
    static func all(_ history: History, isSearchingFiles: Bool) -> [any Checker] {
        [
            DigestChecker(), DurabilityChecker(), RegisterChecker(), ResponseChecker(history),
            FeedChecker(), FiringChecker(), ConsentChecker(), IsolationChecker(),
            BoundsChecker(), ErasureChecker(isSearchingFiles: isSearchingFiles),
        ]
    }
}
