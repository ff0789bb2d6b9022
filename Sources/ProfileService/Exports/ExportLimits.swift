/// Bounds of the exports of a node.
package struct ExportLimits: Sendable {
    /// Open exports of both kinds, of one peer half as many. Each costs at most `3 * batchBytes`
    /// beside what the transport holds and what an `ExportReader` copies.
    package var exportsMax = 100
    /// Parts that are handed to a loop at once, in bytes; a larger one is handed over alone. Of
    /// each export one batch is being filled, one waits, and one is being sent. Some 600 small
    /// profiles take half a millisecond, which is also the turn of an export.
    package var batchBytes = 128 << 10
    /// Pieces of work without a part, after which it is another export's turn.
    package var piecesPerTurn = 16

    package init() {}
}
