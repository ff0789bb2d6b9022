/// Everything that reads bytes of others: one entry per kind of input.
///
/// `make fuzz` calls an entry with the inputs of libFuzzer, `CorpusTests` with those that are kept.
/// An entry returns for every input; what must not happen is a trap, or a broken promise that the
/// entry checks by a precondition.
enum FuzzTarget: String, CaseIterable, Sendable {
    case framing, heads, frames, metadata, wire, requests, keys, commands
    case log, snapshot, feed, records, items, changes, triggers, filter
    case lines, configuration, client

    func run(_ bytes: UnsafeRawBufferPointer) {
        switch self {
        case .framing: TransportFuzz.framing(bytes)
        case .metadata: TransportFuzz.metadata(bytes)
        case .wire: MessageFuzz.wire(bytes)
        case .requests: MessageFuzz.requests(bytes)
        case .keys: KeyFuzz.keys(bytes)
        case .log: LogFuzz.log(bytes)
        case .snapshot: SnapshotFuzz.snapshot(bytes)
        case .feed: FeedFuzz.feed(bytes)
        case .records: RecordFuzz.records(bytes)
        case .lines: TextFuzz.lines(bytes)
        case .configuration: TextFuzz.configuration(bytes)
        case .client: TextFuzz.client(bytes)
        case .heads: TransportFuzz.heads(bytes)
        case .frames: TransportFuzz.frames(bytes)
        case .commands: StateFuzz.commands(bytes)
        case .items: StateFuzz.items(bytes)
        case .changes: ChangeFuzz.changes(bytes)
        case .triggers: TriggerFuzz.triggers(bytes)
        case .filter: FilterFuzz.filter(bytes)
        }
    }
}
