import GRPCTransport
import Messages
import Profiles
import Testing

@testable import ProfileService

@Suite struct PeerPlacesTests {
    private let one = PeerAddress("192.0.2.1:1")
    private let other = PeerAddress("192.0.2.2:1")
    private let third = PeerAddress("192.0.2.3:1")

    private static func places(_ placesMax: Int) -> PeerPlaces {
        PeerPlaces(placesMax: placesMax, limit: "calls_max", limitPerPeer: "calls_per_peer_max")
    }

    /// The metadata and the message of a rejection.
    private static func texts(of failure: CallFailure) -> [String] {
        guard case .rejected(.limitExceeded, let context) = failure else { return [] }
        return context.metadata.map { "\($0.key) \($0.value)" } + [context.message ?? ""]
    }

    @Test(arguments: [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (1_000, 500)])
    func onePeerGetsHalfOfThePlacesAndOneAtLeast(placesMax: Int, half: Int) {
        var places = Self.places(placesMax)
        let taken = (0 ... half).map { _ in places.take(self.one) }
        #expect(taken == Array(repeating: true, count: half) + [false])
        #expect(places.count == half)
    }

    @Test func otherPeersGetTheOtherHalf() {
        var places = Self.places(4)
        let peers = [self.one, self.one, self.one, self.other, self.other, self.other, self.third]
        let taken = peers.map { places.take($0) }
        #expect(taken == [true, true, false, true, true, false, false])
        #expect(places.count == 4 && places.peerCount == 2)
    }

    /// All calls from one /64 are those of one host.
    @Test func hostGetsNoMoreByOtherAddressesOfItsNetwork() {
        var places = Self.places(4)
        let taken = (1 ... 3).map { places.take(PeerAddress("[2001:db8::\($0)]:1")) }
        #expect(taken == [true, true, false])
        #expect(places.peerCount == 1)
    }

    @Test func placeThatIsGivenBackIsAnyPeers() {
        var places = Self.places(2)
        let taken = [self.one, self.other, self.third].map { places.take($0) }
        #expect(taken == [true, true, false])
        places.giveBack(self.one)
        let again = [self.third, self.one].map { places.take($0) }
        #expect(again == [true, false])
    }

    @Test func peerWithoutAPlaceLeavesNoEntry() {
        var places = Self.places(8)
        for number in 0 ..< 1_000 {
            let peer = PeerAddress("10.0.\(number / 256).\(number % 256):1")
            let taken = (0 ..< 2).map { _ in places.take(peer) }
            #expect(taken == [true, true] && places.peerCount == 1)
            for _ in 0 ..< 2 { places.giveBack(peer) }
        }
        #expect(places.count == 0 && places.peerCount == 0)
    }

    @Test func rejectedPeerLeavesNoEntry() {
        var places = Self.places(1)
        let taken = [self.one, self.other].map { places.take($0) }
        #expect(taken == [true, false] && places.peerCount == 1)
    }

    @Test func rejectionNamesTheLimitThatIsReached() {
        var places = Self.places(4)
        for _ in 0 ..< 3 { _ = places.take(self.one) }
        #expect(
            Self.texts(of: places.rejection) == [
                "limit calls_per_peer_max", "maximum 2",
                "this address has as many open calls of this kind as one may have:"
                    + " calls_per_peer_max is 2",
            ])
        for _ in 0 ..< 2 { _ = places.take(self.other) }
        #expect(
            Self.texts(of: places.rejection) == [
                "limit calls_max", "maximum 4",
                "as many calls of this kind are open as may be: calls_max is 4",
            ])
    }
}
