import Testing

@testable import ProfileServer

/// S1, S2: settings of TLS that contradict each other, or the build, end the start.
@Suite struct TLSSettingsTests {
    private static let full: TLSSettings = {
        var settings = TLSSettings()
        settings.certificateFile = "c"
        settings.keyFile = "k"
        settings.clientAuthorityFile = "a"
        settings.clientKeyFile = "t"
        settings.admin = .mutual
        return settings
    }()

    private func fault(
        hasTLS: Bool = true, hasKeys: Bool = true, _ change: (inout TLSSettings) -> Void = { _ in }
    ) -> TLSSettings.Fault? {
        var settings = Self.full
        change(&settings)
        return settings.fault(hasTLS: hasTLS, hasKeys: hasKeys)
    }

    @Test func whatIsCompleteIsAccepted() {
        #expect(self.fault() == nil)
        #expect(TLSSettings().fault(hasTLS: false, hasKeys: false) == nil)
    }

    @Test func programWithoutTLSAcceptsNoneOfThem() {
        let names = ["tls-certificate", "tls-key", "tls-client-ca", "tls-client-keys", "admin-tls"]
        for (index, name) in names.enumerated() {
            let fault = self.fault(hasTLS: false) {
                if index > 0 { $0.certificateFile = nil }
                if index > 1 { $0.keyFile = nil }
                if index > 2 { $0.clientAuthorityFile = nil }
                if index > 3 { $0.clientKeyFile = nil }
            }
            #expect(fault?.setting == name && fault?.allowed.contains("built without TLS") == true)
        }
    }

    @Test func eachOfTheTwoFilesNeedsTheOther() {
        let withoutKey = self.fault { $0.keyFile = nil }
        #expect(withoutKey?.setting == "tls-certificate")
        #expect(withoutKey?.allowed == "none without --tls-key")
        let withoutCertificate = self.fault { $0.certificateFile = nil }
        #expect(withoutCertificate?.setting == "tls-key")
        #expect(withoutCertificate?.allowed == "none without --tls-certificate")
    }

    @Test func certificatesOfClientsNeedAnAuthority() {
        let table = self.fault { $0.clientAuthorityFile = nil }
        #expect(table?.setting == "tls-client-keys")
        let admin = self.fault {
            $0.clientAuthorityFile = nil
            $0.clientKeyFile = nil
        }
        #expect(admin?.setting == "admin-tls" && admin?.found == "mutual")
    }

    @Test func certificatesStandForKeysOnlyWhereKeysAreNeeded() {
        #expect(self.fault(hasKeys: false)?.setting == "tls-client-keys")
    }
}
