import ProfileServer
import Testing

@Suite struct EndpointTests {
    @Test(arguments: [
        ("[0:0:0:0:0:0:0:1]:1", "[::1]:1"), ("[::0001]:1", "[::1]:1"), ("[0::0]:1", "[::]:1"),
        ("[FE80::ABCD]:1", "[fe80::abcd]:1"), ("[1:0:0:2:0:0:0:3]:1", "[1:0:0:2::3]:1"),
        ("[1:0:0:2:3:0:0:4]:1", "[1::2:3:0:0:4]:1"), ("[1:0:2:3:4:5:6:7]:1", "[1:0:2:3:4:5:6:7]:1"),
        ("[1::0]:1", "[1::]:1"), ("[0:2:3:4:5:6:7:8]:1", "[0:2:3:4:5:6:7:8]:1"),
        ("[::ffff:127.0.0.1]:1", "127.0.0.1:1"), ("[::FFFF:7f00:1]:1", "127.0.0.1:1"),
        ("[::ffff:0.0.0.0]:1", "0.0.0.0:1"), ("[::127.0.0.1]:1", "[::7f00:1]:1"),
        ("localhost:1", "127.0.0.1:1"),
    ])
    func addressIsInItsCanonicalForm(text: String, canonical: String) throws {
        let endpoint = try #require(Endpoint(text))
        #expect(endpoint.description == canonical)
        #expect(Endpoint(canonical) == endpoint)
    }

    @Test(arguments: [
        ("127.0.0.1:1", "127.0.0.1:1", true), ("127.0.0.1:1", "127.0.0.1:2", false),
        ("127.0.0.1:1", "127.0.0.2:1", false), ("127.0.0.1:1", "0.0.0.0:1", true),
        ("127.0.0.1:1", "[::]:1", true), ("127.0.0.1:1", "[::ffff:127.0.0.1]:1", true),
        ("127.0.0.1:1", "[::1]:1", false), ("[::1]:1", "0.0.0.0:1", false),
        ("[::1]:1", "[::]:1", true), ("0.0.0.0:1", "[::]:1", true),
        ("127.0.0.1:0", "127.0.0.1:0", false), ("[::]:0", "0.0.0.0:0", false),
    ])
    func endpointsThatCannotBothBeBoundOverlap(left: String, right: String, overlap: Bool) throws {
        let (left, right) = (try #require(Endpoint(left)), try #require(Endpoint(right)))
        #expect(left.overlaps(right) == overlap && right.overlaps(left) == overlap)
    }
}
