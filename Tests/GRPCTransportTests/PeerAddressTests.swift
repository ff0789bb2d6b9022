import Testing

@testable import GRPCTransport

@Suite struct PeerAddressTests {
    @Test(arguments: [
        ("127.0.0.1:50123", "127.0.0.1:1"), ("[::ffff:192.0.2.1]:443", "192.0.2.1:80"),
        ("[2001:db8::1]:443", "[2001:db8:0:0:ffff::2]:1"), ("[::1]:1", "[::2]:1"),
        ("[2001:db8:1:2:3:4:5:6]:1", "[2001:db8:1:2::9]:1"),
        ("[fe80::1%eth0]:1", "[fe80::2%eth1]:1"),
    ])
    func addressesOfOneHostAreOnePeer(first: String, second: String) {
        #expect(PeerAddress(first) == PeerAddress(second))
    }

    @Test(arguments: [
        ("127.0.0.1:1", "127.0.0.2:1"), ("[2001:db8::1]:1", "[2001:db8:0:1::1]:1"),
        ("0.0.0.1:1", "[::1]:1"), ("[2001:db8:1:2::]:1", "[2001:db8:1:3::]:1"),
    ])
    func otherNetworksAreOtherPeers(first: String, second: String) {
        #expect(PeerAddress(first) != PeerAddress(second))
    }

    @Test func aPeerHasItsShareInAllLoopsTogether() {
        let registry = PeerRegistry()
        let (one, other) = (PeerAddress("192.0.2.1:1"), PeerAddress("192.0.2.2:1"))
        #expect(registry.enter(one, max: 2) && registry.enter(one, max: 2))
        #expect(!registry.enter(one, max: 2) && registry.enter(other, max: 2))
        registry.leave(one)
        #expect(registry.enter(one, max: 2))
    }
}
