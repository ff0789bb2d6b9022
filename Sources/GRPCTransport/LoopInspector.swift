import IOCore
import Synchronization

/// Asks a loop what it has open, from another thread, without stopping it: the loop writes a
/// bounded list in one of its ticks.
///
/// ```
/// idle --ask--> asked --next tick of the loop--> idle, with a list
/// ```
package final class LoopInspector: Sendable {
    /// Most entries of one list: a loop that is asked spends at most some 0.2 ms on it.
    package static let entriesMax = 500

    /// What is listed.
    package enum Subject: Sendable, Equatable {
        case connections
        case streams
    }

    package struct Question: Sendable, Equatable {
        package var subject: Subject
        /// The first slot to be listed.
        package var slot: Int
        /// Most entries, 1...`entriesMax`.
        package var limit: Int

        package init(_ subject: Subject, from slot: Int, limit: Int) {
            precondition(slot >= 0 && limit > 0 && limit <= LoopInspector.entriesMax, "bounded")
            self.subject = subject
            self.slot = slot
            self.limit = limit
        }
    }

    /// Ascending by their slots, as of one tick.
    package enum Listing: Sendable, Equatable {
        case connections([ConnectionFigures])
        case streams([StreamFigures])
    }

    private struct State: Sendable {
        var question: Question?
        var listing: Listing?
        var asker: (any Waker)?
    }

    private let isAsked = Atomic<Bool>(false)
    private let state = Guarded(State())
    private let poller: any Poller

    init(poller: any Poller) { self.poller = poller }

    /// Whether the loop has not come to the last question yet.
    package var isWaiting: Bool { self.isAsked.load(ordering: .acquiring) }

    /// Asks the loop. Not while it has a question.
    ///
    /// - Parameter asker: Woken when `takeListing` has the list.
    package func ask(_ question: Question, asker: any Waker) {
        self.state.withLock { state in
            state = State(question: question, listing: nil, asker: asker)
            self.isAsked.store(true, ordering: .releasing)
        }
        self.poller.wake()
    }

    /// The list that was asked for, once; `nil`: the loop has not come to it.
    package func takeListing() -> Listing? {
        self.state.withLock { state in
            defer { state.listing = nil }
            return state.listing
        }
    }

    /// Lets the loop make a list if it was asked for one; on its thread.
    @inline(__always)
    func serve(_ list: (Question) -> Listing) {
        guard self.isAsked.load(ordering: .relaxed) else { return }
        self.serveQuestion(list)
    }

    @inline(never)
    private func serveQuestion(_ list: (Question) -> Listing) {
        guard self.isAsked.load(ordering: .acquiring),
            let question = self.state.withLock({ $0.question })
        else { return }
        let listing = list(question)
        let asker = self.state.withLock { state in
            state.listing = listing
            state.question = nil
            // With the list: whoever has taken it may ask again at once.
            self.isAsked.store(false, ordering: .releasing)
            return state.asker
        }
        asker?.wake()
    }
}
