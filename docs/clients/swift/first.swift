// Stores a purchase and reads the person back, with grpc-swift 2.
import GRPCCore
import GRPCNIOTransportHTTP2

@main
struct First {
    static func main() async throws {
        let transport = try HTTP2ClientTransport.Posix(
            target: .ipv4(host: "127.0.0.1", port: 50051), transportSecurity: .plaintext)
        try await withGRPCClient(transport: transport) { client in
            let profiles = Profiles_V1_Profiles.Client(wrapping: client)
            let anna = Profiles_V1_Identifier.with { $0.customID = "anna" }
            let purchase = Profiles_V1_Event.with {
                $0.eventID = "order-1001"
                $0.name = "purchase"
                $0.attributes = [
                    "amount": .with { $0.number = 59.9 }, "currency": .with { $0.string = "EUR" },
                ]
            }
            let response = try await profiles.track(.with {
                $0.project = "default"
                $0.identifier = anna
                $0.events = [purchase]
            })
            print(response.results[0].status, "at lsn", response.lsn)
            let profile = try await profiles.getProfile(.with {
                $0.project = "default"
                $0.identifier = anna
            }).profile
            print(profile.customID, "has", profile.eventCounters[0].count, "purchase")
        }
    }
}
