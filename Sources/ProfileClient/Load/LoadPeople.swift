/// The people of a load: their names, and the order in which it visits them.
enum LoadPeople {
    /// Coprime to any power of ten, so that everybody is visited once before anybody is again.
    private static let step: UInt = 7_919

    /// Who is visited with this number. Neighbours are not next to each other in the store.
    static func person(_ number: Int, of ids: Int) -> Int {
        Int(UInt(number) &* Self.step % UInt(ids))
    }

    /// The custom id of a person. All of a load have as many digits as the largest one, and at
    /// least six.
    static func customID(_ number: Int, of ids: Int) -> String {
        let digits = String(number)
        let count = max(6, String(ids - 1).utf8.count)
        return "user-" + String(repeating: "0", count: count - digits.utf8.count) + digits
    }
}
